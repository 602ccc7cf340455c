// A certified OpenID provider on a free port of this machine. It prints its issuer, reads one line of JSON with what it
// should be, and prints `ready`. Whoever signs in is whom they say, with the claims of that line.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Provider } from "oidc-provider";

const server = createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
console.log(issuer);

const lines = createInterface({ input: process.stdin });
// The test that started it has ended.
lines.on("close", () => process.exit());
lines.once("line", (line) => {
  const { public_url, client_id, client_secret, people, claims_in_token, programs } = JSON.parse(line);
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id,
        client_secret,
        redirect_uris: [`${public_url}/auth/callback`],
        post_logout_redirect_uris: [`${public_url}/`],
        backchannel_logout_uri: `${public_url}/auth/backchannel-logout`,
        backchannel_logout_session_required: true,
      },
      // Programs that get tokens for themselves.
      ...(programs?.ids ?? []).map((id) => ({
        client_id: id,
        client_secret: programs.secret,
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      })),
    ],
    claims: { openid: ["sub", "roles", "realm", "urn:example:roles", "groups"], profile: ["name"], email: ["email"] },
    // Otherwise the claims are in the answer of the userinfo endpoint only.
    conformIdTokenClaims: !claims_in_token,
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ ...people[id], sub: id }) }),
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: true },
      clientCredentials: { enabled: programs !== undefined },
      resourceIndicators: {
        enabled: programs !== undefined,
        getResourceServerInfo: (_, audience) => {
          if (!programs.audiences.includes(audience)) throw new Error("unknown audience");
          return { scope: "", audience, accessTokenFormat: "jwt", accessTokenTTL: 300 };
        },
      },
    },
    cookies: { keys: ["only for tests"] },
    pkce: { required: () => true },
    // Its own way out refuses addresses of this machine.
    fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
  });
  provider.on("server_error", (_, error) => console.error(error));
  provider.on("backchannel.error", (_, error) => console.error(error));
  server.on("request", provider.callback());
  console.log("ready");
});
