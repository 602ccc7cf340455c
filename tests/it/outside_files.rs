//! Files and words for one person, to and from chats outside.

use parlour::clock::Clock;
use parlour::model::principal::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::discord::{self, DIRECT};
use crate::slack::{self, is_connected, linked};
use crate::support::discord::{ANN as ANNA, BEA as BEATE, Discord, GENERAL as GENERAL_THERE, Trouble};
use crate::support::server::{Client, Kind, Server, with_both_databases};
use crate::support::slack::{ANN, GENERAL, Mode, Network, Workspace, free_port};

/// Says what only who asked may read, and what goes to a channel.
const WHISPERER: &str = r##"
apiVersion: bot/v1
name: whisperer
display_name: Whisperer
description: Tells secrets
commands:
  - name: whisper
    description: Tells the caller alone
    intents: ["whisper {word}"]
    parameters: {word: {description: What}}
    examples: [whisper wolf]
    reply: {text: "Psst: **{{parameters.word}}**", ephemeral: true}
  - name: where
    description: Tells where it is
    intents: [where]
    mapped_parameters: {here: channel.name}
    examples: [where]
    reply: "This is {{mapped.here}}"
  - name: announce
    description: Tells a channel everything
    intents: ["announce {words:rest}"]
    parameters: {words: {description: What, max_length: 4000}}
    examples: [announce all]
    reply: {text: "{{parameters.words}} {{parameters.words}} {{parameters.words}} {{parameters.words}} {{parameters.words}} {{parameters.words}} {{parameters.words}} {{parameters.words}}", to: ["discord:9001"]}
  - name: survey
    description: Asks a lot
    intents: [survey]
    parameters:
      one: {prompt: First?}
      two: {prompt: Second?}
      three: {prompt: Third?}
      four: {prompt: Fourth?}
      five: {prompt: Fifth?}
      six: {type: integer, prompt: Sixth?}
    examples: [survey]
    reply: "{{parameters.one}} to {{parameters.six}}"
"##;

fn with_whisperer(config: &mut parlour::config::Config) {
    let folder = config.bots[0].join("whisperer");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("bot.yaml"), WHISPERER).unwrap();
}

/// The messages of the caller's conversations, the conversation's id with each.
async fn said(client: &Client) -> Vec<Value> {
    let list = client.get("/api/session/list").await.expect(200);
    let mut said = Vec::new();
    for session in list["sessions"].as_array().unwrap() {
        let id = session["session_id"].as_str().unwrap();
        let events = client.get(&format!("/api/session/{id}/events?after=0&limit=500")).await.expect(200);
        said.extend(events["events"].as_array().unwrap().iter().filter(|event| event["type"] == "message").cloned());
    }
    said
}

/// The file of a message that holds `text`, and its bytes.
async fn file_of(client: &Client, text: &str) -> (Value, String) {
    let said = said(client).await;
    let message = said.iter().find(|message| message["content"] == text && message["sender"]["kind"] == "user");
    let file = message.unwrap_or_else(|| panic!("no {text:?} in {said:#?}"))["files"][0].clone();
    let bytes = client.get(&format!("/api/files/{}", file["id"].as_str().unwrap_or_default())).await;
    (file, bytes.text)
}

/// Sends a message with a file.
async fn send(client: &Client, session: &str, text: &str, name: &str, bytes: &str) -> String {
    let door = format!("/api/files?name={name}");
    let upload = client.post_text(&door, "application/octet-stream", bytes.to_owned()).await.expect(201);
    let body = json!({ "content": text, "attachments": [upload["file"]["id"]] });
    let sent = client.post(&format!("/api/session/{session}/messages"), &body).await.expect(201);
    sent["message_id"].as_str().unwrap_or_else(|| panic!("{sent}")).to_owned()
}

async fn slack_files_come_in(kind: Kind) {
    let workspace = Workspace::start(free_port(), &Mode::Socket);
    let mut screen = workspace.screen().await;
    let server = Server::start_with(kind, |config| {
        slack::settings(config, &workspace.url);
    })
    .await;
    is_connected(&mut screen).await;
    let browser = linked(&server, &workspace, &mut screen, ANN).await;
    // With words, which count; and without any, which ask nothing.
    workspace.share(ANN, GENERAL, "<@U0BOT> greet Bea", &[("report.csv", b"a,b\n1,2\n")]).await;
    screen.told("Hello Bea").await;
    let (file, bytes) = file_of(&browser, "greet Bea").await;
    assert_eq!((file["name"].as_str(), file["media_type"].as_str()), (Some("report.csv"), Some("text/plain")));
    assert_eq!(bytes, "a,b\n1,2\n");
    workspace.share(ANN, ANN, "", &[("alone.txt", b"by itself")]).await;
    workspace.say(ANN, ANN, None, "greet Cid").await;
    screen.told("Hello Cid").await;
    assert_eq!(file_of(&browser, "").await.1, "by itself");
    let too_large = vec![b'x'; 1024 * 1024 + 1];
    // What cannot be taken is told to who sent it; the words count all the same.
    workspace.share(ANN, GENERAL, "<@U0BOT> greet Dan", &[("big.txt", &too_large), ("small.txt", b"fits")]).await;
    let told = screen.told("I could not take").await;
    assert_eq!(told["ephemeral_to"], ANN);
    assert!(told.to_string().contains("big.txt") && told.to_string().contains("at most 1048576 bytes"), "{told}");
    screen.told("Hello Dan").await;
    assert_eq!(file_of(&browser, "greet Dan").await.1, "fits");
    server.finish().await;
    // From no other host than Slack's, and with no other's token.
    let mut screen = workspace.screen().await;
    let server = Server::start_with(kind, |config| {
        slack::settings(config, &workspace.url);
        config.slack.file_hosts = vec!["files.slack.com".to_owned()];
        config.outside.guest_role = Some(Role::User);
    })
    .await;
    is_connected(&mut screen).await;
    workspace.share(ANN, GENERAL, "<@U0BOT> greet Eve", &[("report.csv", b"a,b")]).await;
    let told = screen.told("I could not take").await;
    assert!(told.to_string().contains("127.0.0.1"), "{told}");
    screen.told("Hello Eve").await;
    server.finish().await;
}

async fn slack_files_go_out_once(kind: Kind) {
    let workspace = Workspace::start(free_port(), &Mode::Socket);
    let (mut screen, network) = (workspace.screen().await, Network::before(&workspace).await);
    let server = Server::start_by(Clock::system(), kind, |config| slack::settings(config, &network.url)).await;
    is_connected(&mut screen).await;
    let browser = linked(&server, &workspace, &mut screen, ANN).await;
    let thread = workspace.say(ANN, GENERAL, None, "<@U0BOT> greet Bea").await;
    screen.told("Hello Bea").await;
    let here = said(&browser).await.into_iter().find(|message| message["content"] == "greet Bea").unwrap();
    let session = here["session_id"].as_str().unwrap();
    // What is sent in the web chat stands in Slack, also when answers of Slack's get lost.
    network.lose(&["chat.postMessage", "files.completeUploadExternal"]);
    let message = send(&browser, session, "greet Cid", "plan.txt", "first this, then that").await;
    screen.told("Hello Cid").await;
    let all = workspace.messages(GENERAL).await;
    let with_files: Vec<&Value> = all.iter().filter(|message| message["files"].is_array()).collect();
    assert_eq!(with_files.len(), 1, "once: {all:#?}");
    let (shared, file) = (with_files[0], &with_files[0]["files"][0]);
    assert_eq!((shared["thread_ts"].as_str(), file["title"].as_str()), (Some(thread.as_str()), Some("plan.txt")));
    assert_eq!(workspace.bytes(file).await, b"first this, then that");
    let words = |all: &[Value]| all.iter().filter(|message| message.to_string().contains("*Admin*: greet Cid")).count();
    assert_eq!(words(&all), 1, "{all:#?}");
    // Taken back, it is gone there with its file.
    assert_eq!(browser.delete(&format!("/api/session/{session}/messages/{message}")).await.status, 200);
    network.until_called("files.delete", "", 1).await;
    browser.say(session, "greet Dan").await;
    screen.told("Hello Dan").await;
    assert_eq!(words(&workspace.messages(GENERAL).await), 0);
    // What Slack does not take stays a link.
    network.refuse("files.getUploadURLExternal", Some("missing_scope"));
    send(&browser, session, "greet Eve", "other.txt", "this").await;
    let linked = screen.told("other.txt").await;
    assert!(linked.to_string().contains("/api/files/f_") && linked["files"].is_null(), "{linked}");
    screen.told("Hello Eve").await;
    server.finish().await;
}

async fn discord_files_come_in_and_go_out(kind: Kind) {
    let discord = Discord::start().await;
    let server = Server::start_with(kind, |config| {
        discord::settings(config, &discord);
        with_whisperer(config);
        config.outside.guest_role = None;
    })
    .await;
    discord.connected(1, 0).await;
    let browser = link_account(&server, &discord).await;
    discord.share(ANNA, DIRECT, "greet Bea", ("report.csv", b"a,b\n1,2\n"));
    discord.told(DIRECT, "Hello Bea").await;
    assert_eq!(file_of(&browser, "greet Bea").await.1, "a,b\n1,2\n");
    // The other way, and once, when the answer gets lost.
    let here = said(&browser).await.into_iter().find(|message| message["content"] == "greet Bea").unwrap();
    let session = here["session_id"].as_str().unwrap();
    discord.trouble(Method::POST, "/messages", Trouble::Lost);
    send(&browser, session, "greet Cid", "plan.txt", "first this").await;
    let cid = |discord: &Discord| {
        server.clock.advance(500);
        discord.answers(DIRECT).iter().any(|message| message.to_string().contains("Hello Cid")).then_some(())
    };
    discord.until("Cid", cid).await;
    let all = discord.answers(DIRECT);
    let with_file: Vec<&Value> = all.iter().filter(|message| message["attachments"].is_array()).collect();
    assert_eq!(with_file.len(), 1, "{all:#?}");
    assert_eq!(discord.attached(with_file[0], "plan.txt"), b"first this");
    // What Discord finds too large stays a link.
    discord.trouble(Method::POST, "/messages", Trouble::Refused(413));
    send(&browser, session, "greet Dan", "huge.txt", "not so huge").await;
    let linked = discord.told(DIRECT, "huge.txt").await;
    assert!(linked["attachments"].is_null() && linked.to_string().contains("/api/files/f_"), "{linked}");
    discord.told(DIRECT, "Hello Dan").await;
    // What is too long for a channel, which has no conversation to read it in, is there as a file.
    let session = browser.open("whisperer").await;
    let words = "word ".repeat(700);
    browser
        .post(&format!("/api/session/{session}/messages"), &json!({ "content": format!("announce {words}") }))
        .await
        .expect(201);
    let told = discord.told(GENERAL_THERE, "full-output.txt").await;
    let full = String::from_utf8(discord.attached(&told, "full-output.txt")).unwrap();
    assert_eq!(full.split_whitespace().count(), 5_600);
    // Given back, the account is nobody's again.
    let door = format!("/api/links/discord/discord/{ANNA}");
    assert_eq!(browser.delete(&door).await.status.as_u16(), 204);
    let links = |discord: &Discord| {
        discord.answers(DIRECT).iter().filter(|message| message.to_string().contains("/link/")).count()
    };
    assert_eq!(links(&discord), 1);
    discord.say(ANNA, DIRECT, "greet Eve");
    discord.until("another link", |discord| (links(discord) == 2).then_some(())).await;
    discord.assert_honest();
    server.finish().await;
}

/// Makes Anna of Discord the user of a browser, by a link that nobody else sees.
async fn link_account(server: &Server, discord: &Discord) -> Client {
    let browser = server.browser().await;
    let options = json!([{ "name": "who", "value": "Ida" }]);
    discord.slash(BEATE, GENERAL_THERE, "hello", "greet", &options).await;
    assert_eq!(discord.whispered("/link/").await["flags"], 64);
    discord.say(ANNA, DIRECT, "greet nobody");
    let path = slack::link(&discord.told(DIRECT, "/link/").await);
    assert!(browser.get(&path).await.text.contains("of Discord"));
    assert!(browser.post(&path, &json!({})).await.status.is_success());
    discord.told(DIRECT, "now acts as").await;
    let links = browser.get("/api/links").await.expect(200);
    assert_eq!(links["accounts"][0]["account"], ANNA, "{links}");
    browser
}

async fn an_ephemeral_reply_is_seen_by_who_asked(kind: Kind) {
    let discord = Discord::start().await;
    let workspace = Workspace::start(free_port(), &Mode::Socket);
    let mut screen = workspace.screen().await;
    let server = Server::start_with(kind, |config| {
        slack::settings(config, &workspace.url);
        discord::settings(config, &discord);
        with_whisperer(config);
    })
    .await;
    is_connected(&mut screen).await;
    discord.connected(1, 0).await;
    // In a thread of a channel that others read.
    let thread = workspace.say(ANN, GENERAL, None, "<@U0BOT> whisper wolf").await;
    let told = screen.told("Psst").await;
    assert_eq!((told["ephemeral_to"].as_str(), told["thread_ts"].as_str()), (Some(ANN), Some(thread.as_str())));
    // Both chats know what their channels are called.
    workspace.say(ANN, GENERAL, Some(&thread), "where").await;
    screen.told("This is general").await;
    discord.say(ANNA, crate::support::discord::THREAD, &format!("<@{}> where", crate::support::discord::BOT));
    discord.told(crate::support::discord::THREAD, "This is a thread").await;
    // In the web chat it says so.
    let browser = server.browser().await;
    let session = browser.open("whisperer").await;
    assert_eq!(browser.say(&session, "whisper fox").await["ephemeral"], true);
    // Of a slash command it is the answer that only one sees, of a message in a channel it is told directly.
    let options = json!([{ "name": "word", "value": "owl" }]);
    discord.slash(BEATE, GENERAL_THERE, "whisperer", "whisper", &options).await;
    assert_eq!(discord.whispered("owl").await["flags"], 64);
    discord.say(ANNA, GENERAL_THERE, "!whisper bear");
    discord.told(DIRECT, "bear").await;
    assert!(discord.answers(GENERAL_THERE).is_empty(), "{:#?}", discord.answers(GENERAL_THERE));
    discord.assert_honest();
    server.finish().await;
}

/// Discord shows five fields of a form; a longer one is asked in words, one question after the other.
async fn a_long_form_is_asked_in_words(kind: Kind) {
    let discord = Discord::start().await;
    let server = Server::start_with(kind, |config| {
        discord::settings(config, &discord);
        with_whisperer(config);
    })
    .await;
    discord.connected(1, 0).await;
    discord.say(ANNA, DIRECT, "survey");
    let asked = discord.told(DIRECT, "First?").await;
    assert!(!asked.to_string().contains("Fill in"), "{asked}");
    for (answer, question) in
        [("alpha", "Second?"), ("beta", "Third?"), ("gamma", "Fourth?"), ("delta", "Fifth?"), ("epsilon", "Sixth?")]
    {
        discord.say(ANNA, DIRECT, answer);
        // As the question that is asked, not as one of those to come.
        discord.told(DIRECT, &format!("{question}\\n")).await;
        server.clock.advance(1000);
    }
    // What is wrong is said, and asked again.
    discord.say(ANNA, DIRECT, "many");
    discord.told(DIRECT, "does not fit six").await;
    server.clock.advance(1000);
    discord.say(ANNA, DIRECT, "6");
    discord.told(DIRECT, "alpha to 6").await;
    discord.assert_honest();
    server.finish().await;
}

with_both_databases!(
    slack_files_come_in,
    slack_files_go_out_once,
    discord_files_come_in_and_go_out,
    an_ephemeral_reply_is_seen_by_who_asked,
    a_long_form_is_asked_in_words,
);
