// Connects discord.js to a Discord at the address given, answers one slash command and one message, and ends. What it takes
// is what real clients take.
import { Client, Events, GatewayIntentBits, Routes } from "discord.js";

const [url, token, channel] = process.argv.slice(2);
const client = new Client({
  intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages, GatewayIntentBits.MessageContent],
  rest: { api: `${url}/api`, version: "10" },
});

const give = setTimeout(() => {
  console.log("nothing came");
  process.exit(1);
}, 20_000);

client.once(Events.ClientReady, async () => {
  console.log(`ready ${client.user.id} ${client.application.id}`);
  const body = { content: "from discord.js", allowed_mentions: { parse: [] } };
  const said = await client.rest.post(Routes.channelMessages(channel), { body });
  console.log(`said ${said.id}`);
});

client.on(Events.InteractionCreate, async (interaction) => {
  if (!interaction.isChatInputCommand()) return;
  console.log(`asked ${interaction.commandName} ${interaction.options.getSubcommand()} ${interaction.options.getString("who")}`);
  await interaction.deferReply().catch((error) => console.log(`deferReply: ${error.message}`));
  const body = { content: "hello", embeds: [], components: [], allowed_mentions: { parse: [] } };
  const original = Routes.webhookMessage(interaction.applicationId, interaction.token, "@original");
  await client.rest.patch(original, { body, auth: false }).catch((error) => console.log(`patch: ${error.message}`));
  clearTimeout(give);
  await client.destroy();
});

client.on(Events.Error, (error) => console.log(error.message));
await client.login(token);
