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
  const { public_url, client_id, client_secret, people, claims_in_token, programs, credentials } = JSON.parse(line);
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
      // One that people sign in for, to be acted for later.
      ...(credentials === undefined
        ? []
        : [
            {
              client_id: credentials.id,
              client_secret: credentials.secret,
              token_endpoint_auth_method: "client_secret_post",
              grant_types: ["authorization_code", "refresh_token"],
              redirect_uris: [`${public_url}/oauth2/callback`],
            },
          ]),
    ],
    // Each refresh token is good once, and the whole grant is over when one comes twice.
    rotateRefreshToken: true,
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
  // What the test asks about, and does to, the tokens of that client.
  const counts = {};
  const last = {};
  const count = (ctx, what) => {
    const name = `${ctx.oidc.params.grant_type} ${what}`;
    counts[name] = (counts[name] ?? 0) + 1;
  };
  provider.on("grant.success", (ctx) => count(ctx, "granted"));
  provider.on("grant.error", (ctx) => count(ctx, "refused"));
  provider.on("access_token.saved", (token) => (last.access = token));
  provider.on("refresh_token.saved", (token) => (last.refresh = token));
  const answer = provider.callback();
  server.on("request", async (request, response) => {
    if (request.url === "/test/counts") return response.end(JSON.stringify(counts));
    if (request.url === "/test/forget-access") return response.end(String(await last.access.destroy()));
    if (request.url === "/test/forget-refresh") return response.end(String(await last.refresh.destroy()));
    answer(request, response);
  });
  console.log("ready");
});
