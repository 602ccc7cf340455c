//! Commands that are done by processes elsewhere: deliveries, streamed replies, leases and cancelling.

use std::collections::VecDeque;
use std::sync::Arc;

use parlour::model::principal::Role;
use serde_json::{Value, json};

use crate::support::server::{Client, Kind, Server, Socket, on_both_databases};

on_both_databases!(
    a_bot_is_served_with_a_key_made_for_it,
    what_is_asked_waits_for_a_process_and_is_answered,
    a_reply_is_streamed_and_resumes_in_the_middle,
    a_process_that_dies_is_replaced_and_nothing_is_said_twice,
    a_lease_lapses_and_lost_attempts_are_counted,
    what_nobody_takes_fails_in_time,
    what_is_given_back_comes_again_later,
    a_run_is_cancelled_by_its_owner,
    a_poll_sees_every_phase,
    processes_share_the_work,
    a_streamed_reply_is_bounded,
);

/// A process that serves the bot `away`; frames it did not look for yet are kept for later.
pub(crate) struct Process {
    socket: Socket,
    kept: VecDeque<Value>,
}

pub(crate) async fn serving(server: &Server) -> Process {
    serving_with(server, &json!({})).await
}

async fn serving_with(server: &Server, more: &Value) -> Process {
    let mut socket = server.process(&["away"]).await.socket().await;
    let mut frame = json!({ "type": "register", "id": "r", "bot_id": "away" });
    frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    socket.send(&frame).await;
    let registered = socket.next().await;
    assert_eq!((registered["type"].as_str(), registered["bot_id"].as_str()), (Some("registered"), Some("away")));
    Process { socket, kept: VecDeque::new() }
}

impl Process {
    /// The first frame of that kind that was not looked for yet.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        if let Some(at) = self.kept.iter().position(|frame| frame["type"] == kind) {
            return self.kept.remove(at).unwrap();
        }
        loop {
            let frame = self.socket.next().await;
            if frame["type"] == kind {
                return frame;
            }
            self.kept.push_back(frame);
        }
    }

    pub(crate) async fn delivered(&mut self) -> (String, Value) {
        let deliver = self.until("deliver").await;
        (deliver["delivery_id"].as_str().unwrap().to_owned(), deliver)
    }

    /// Sends a report and answers what comes back for it.
    pub(crate) async fn report(&mut self, delivery: &str, mut frame: Value) -> Value {
        frame["delivery_id"] = json!(delivery);
        if frame["id"].is_null() {
            frame["id"] = json!("x");
        }
        self.socket.send(&frame).await;
        loop {
            let answer = self.socket.next().await;
            if answer["id"] == frame["id"] {
                return answer;
            }
            self.kept.push_back(answer);
        }
    }

    pub(crate) async fn refused(&mut self, delivery: &str, frame: Value) -> String {
        let answer = self.report(delivery, frame).await;
        answer["error"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub(crate) async fn chunk(&mut self, delivery: &str, offset: usize, delta: &str) {
        let frame = json!({ "type": "chunk", "delivery_id": delivery, "offset": offset, "delta": delta });
        self.socket.send(&frame).await;
    }
}

/// Says something that starts a run; the id of the message.
pub(crate) async fn ask(client: &Client, session: &str, content: &str) -> String {
    let path = format!("/api/session/{session}/messages");
    let receipt = client.post(&path, &json!({ "content": content })).await.expect(201);
    receipt["message_id"].as_str().unwrap().to_owned()
}

pub(crate) async fn events(client: &Client, session: &str) -> Vec<Value> {
    let page = client.get(&format!("/api/session/{session}/events?limit=500")).await.expect(200);
    page["events"].as_array().unwrap().clone()
}

/// What a reader of a conversation has of a reply while it is written.
#[derive(Default)]
struct Reply {
    text: String,
    partials: usize,
}

impl Reply {
    /// Takes frames as a client does, up to the text; the message that ends it, if that came.
    async fn read(&mut self, socket: &mut Socket, up_to: &str) -> Option<Value> {
        while self.partials == 0 || self.text != up_to {
            let frame = socket.next().await;
            match frame["type"].as_str().unwrap() {
                "message_partial" => {
                    frame["content"].as_str().unwrap().clone_into(&mut self.text);
                    assert_eq!(frame["offset"], self.text.chars().count());
                    self.partials += 1;
                }
                "chunk" => {
                    assert_eq!(frame["offset"], self.text.chars().count(), "nothing is left out");
                    self.text.push_str(frame["delta"].as_str().unwrap());
                }
                "message" if frame["sender"]["kind"] == "bot" => return Some(frame),
                "message" => {}
                other => panic!("unexpected {other}"),
            }
        }
        None
    }
}

async fn a_bot_is_served_with_a_key_made_for_it(server: Arc<Server>) {
    let register = |bot: &str| json!({ "type": "register", "id": "r", "bot_id": bot });
    let code = async |client: &Client, frame: Value| {
        let mut socket = client.socket().await;
        socket.send(&frame).await;
        socket.next().await["error"]["code"].as_str().unwrap_or_default().to_owned()
    };
    let process = server.process(&["away"]).await;
    for (client, bot, expected) in [
        (server.program(Role::User).await, "away", "FORBIDDEN"),
        (server.program(Role::Executor).await, "away", "FORBIDDEN"),
        // A person, even an administrator, is no program.
        (server.browser().await, "away", "FORBIDDEN"),
        (server.process(&["hello"]).await, "away", "FORBIDDEN"),
        // What may not be seen is not there.
        (process.clone(), "shop", "NOT_FOUND"),
        (process.clone(), "nobody", "NOT_FOUND"),
        (server.program(Role::Admin).await, "away", ""),
        (process.clone(), "away", ""),
    ] {
        assert_eq!(code(&client, register(bot)).await, expected, "{bot}");
    }
    let with = |more: Value| {
        let mut frame = register("away");
        frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        frame
    };
    assert_eq!(code(&process, with(json!({ "max_in_flight": 0 }))).await, "INVALID_REQUEST");
    assert_eq!(code(&process, with(json!({ "commands": [] }))).await, "INVALID_REQUEST");
    assert_eq!(code(&process, with(json!({ "commands": ["dance"] }))).await, "NOT_FOUND");
    let mut socket = Process { socket: process.socket().await, kept: VecDeque::new() };
    assert_eq!(socket.refused("d", json!({ "type": "extend" })).await, "NOT_REGISTERED");
    socket.socket.send(&with(json!({ "commands": ["Count"], "max_in_flight": 3 }))).await;
    let registered = socket.socket.next().await;
    assert_eq!((&registered["commands"], &registered["max_in_flight"]), (&json!(["count"]), &json!(3)));
    socket.socket.send(&register("away")).await;
    assert_eq!(socket.socket.next().await["error"]["code"], "ALREADY_REGISTERED");
    assert_eq!(socket.refused("d", json!({ "type": "done" })).await, "DELIVERY_UNKNOWN");
    let mut plain = process.raw_socket(None).await.unwrap();
    plain.next().await;
    plain.send(&register("away")).await;
    assert_eq!(plain.next().await["error"]["code"], "INVALID_REQUEST");
}

async fn what_is_asked_waits_for_a_process_and_is_answered(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let asked = ask(&ann, &session, "count to 3").await;
    assert_eq!(events(&ann, &session).await.len(), 1, "nobody says anything yet");
    let mut reader = ann.socket().await;
    reader.subscribe(&format!("conv:{session}"), 0).await;
    let mut process = serving(&server).await;
    let (delivery, deliver) = process.delivered().await;
    assert_eq!((&deliver["attempt"], &deliver["lease_ms"]), (&json!(1), &json!(30_000)));
    let event = &deliver["event"];
    assert_eq!((&event["command"], &event["parameters"]), (&json!("count"), &json!({ "number": 3 })));
    assert_eq!((&event["raw_message"], &event["mapped_parameters"]), (&json!("count to 3"), &json!({ "who": "user" })));
    assert_eq!((&event["conversation"], &event["user"]["name"]), (&json!(session), &json!("user")));
    // A message of a process keeps to what a message may be.
    for (message, code) in [
        (json!({ "text": "x", "files": [] }), "INVALID_FRAME"),
        (json!({ "text": "x", "parts": [{ "type": "image", "url": "javascript:x", "alt": "" }] }), "INVALID_REQUEST"),
        (json!({ "parts": [{ "type": "table", "columns": ["a"], "rows": [["1", "2"]] }] }), "INVALID_REQUEST"),
    ] {
        let frame = json!({ "type": "done", "message": message });
        assert_eq!(process.refused(&delivery, frame).await, code);
    }
    let part = json!({ "type": "progress", "label": "Counting", "step": 3, "total": 3, "state": "done" });
    let message = json!({ "text": "one two three", "tone": "success", "parts": [part] });
    let ack = process.report(&delivery, json!({ "type": "done", "message": message })).await;
    assert_eq!(ack, json!({ "type": "ack", "id": "x", "delivery_id": delivery, "status": "completed" }));
    let said = reader.until("message").await;
    assert_eq!((&said["message_id"], &said["reply_to"]), (&json!(delivery), &json!(asked)));
    assert_eq!(
        (&said["content"], &said["tone"], &said["parts"]),
        (&json!("one two three"), &json!("success"), &json!([part]))
    );
    assert_eq!((&said["invocation_id"], &said["command"]), (&event["execution_id"], &json!("count")));
    assert_eq!(said["sender"], json!({ "kind": "bot", "id": "away", "name": "Away" }));
    assert_eq!(process.refused(&delivery, json!({ "type": "done", "content": "four" })).await, "RUN_ENDED");
    // A run that failed says why; one without a word says that it is done.
    ask(&ann, &session, "count to 4").await;
    let (delivery, _) = process.delivered().await;
    process.report(&delivery, json!({ "type": "done", "status": "failed", "error": "no *numbers*" })).await;
    let said = reader.until("message").await;
    let said = if said["sender"]["kind"] == "user" { reader.until("message").await } else { said };
    assert_eq!(
        (said["content"].as_str(), said["tone"].as_str()),
        (Some("**count** failed: no \\*numbers\\*"), Some("error"))
    );
    ask(&ann, &session, "sweep the floor").await;
    let (delivery, _) = process.delivered().await;
    process.report(&delivery, json!({ "type": "done" })).await;
    assert_eq!(events(&ann, &session).await[5]["content"], "**sweep** is done.");
}

async fn a_reply_is_streamed_and_resumes_in_the_middle(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let stream = format!("conv:{session}");
    let (mut first, mut second) = (ann.socket().await, ann.socket().await);
    first.subscribe(&stream, 0).await;
    second.subscribe(&stream, 0).await;
    ask(&ann, &session, "count to 3").await;
    let mut process = serving(&server).await;
    let (delivery, _) = process.delivered().await;
    let (mut one, mut two, mut late) = (Reply::default(), Reply::default(), Reply::default());
    one.read(&mut first, "").await;
    process.chunk(&delivery, 0, "größer ").await;
    one.read(&mut first, "größer ").await;
    process.chunk(&delivery, 7, "🛠 ").await;
    two.read(&mut second, "größer 🛠 ").await;
    // One goes away in the middle; another device comes and gets the whole first.
    drop(second);
    let mut third = ann.socket().await;
    assert_eq!(third.subscribe(&stream, 0).await.len(), 1);
    assert!(late.read(&mut third, "größer 🛠 ").await.is_none());
    assert_eq!((late.partials, two.partials), (1, 1));
    for (offset, code) in [(0, "CHUNK_OFFSET"), (10, "CHUNK_OFFSET")] {
        let frame = json!({ "type": "chunk", "offset": offset, "delta": "x" });
        assert_eq!(process.refused(&delivery, frame).await, code);
    }
    let ack = process.report(&delivery, json!({ "type": "chunk", "offset": 9, "delta": "*three*" })).await;
    assert_eq!(ack["delivery_id"], json!(delivery));
    process.report(&delivery, json!({ "type": "done" })).await;
    let mut ends = Vec::new();
    for (reply, socket) in [(&mut one, &mut first), (&mut late, &mut third)] {
        let end = reply.read(socket, "never").await.unwrap();
        assert_eq!((&end["content"], reply.text.as_str()), (&json!("größer 🛠 *three*"), "größer 🛠 *three*"));
        assert_eq!((&end["message_id"], reply.partials), (&json!(delivery), 1));
        ends.push(end);
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(events(&ann, &session).await[1], ends[0], "other doors get the message alone");
    let mut after = ann.socket().await;
    assert_eq!(after.subscribe(&stream, 0).await.len(), 2);
    after.send(&json!({ "type": "ping", "timestamp": 1 })).await;
    assert_eq!(after.next().await["type"], "pong", "nothing is being written any more");
}

async fn a_process_that_dies_is_replaced_and_nothing_is_said_twice(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let mut reader = ann.socket().await;
    reader.subscribe(&format!("conv:{session}"), 0).await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, _) = process.delivered().await;
    let say = json!({ "type": "say", "id": "start", "content": "Here I go" });
    let said = process.report(&delivery, say).await;
    assert_eq!(said["duplicate"], false);
    process.chunk(&delivery, 0, "one tw").await;
    let mut reply = Reply::default();
    let heard = reply.read(&mut reader, "one tw").await.unwrap();
    assert_eq!(heard["message_id"], said["message_id"]);
    reply.read(&mut reader, "one tw").await;
    drop(process);
    let mut next = serving(&server).await;
    let (again, deliver) = next.delivered().await;
    assert_eq!((&again, &deliver["attempt"]), (&delivery, &json!(2)));
    // Its readers start afresh with it.
    assert!(reply.read(&mut reader, "").await.is_none());
    let repeated = json!({ "type": "say", "id": "start", "content": "Here I go again" });
    let repeated = next.report(&delivery, repeated).await;
    assert_eq!((&repeated["message_id"], &repeated["duplicate"]), (&said["message_id"], &json!(true)));
    assert_eq!(next.refused(&delivery, json!({ "type": "done", "attempt": 1 })).await, "LEASE_LOST");
    next.chunk(&delivery, 0, "one two three").await;
    next.report(&delivery, json!({ "type": "done", "attempt": 2 })).await;
    let end = reply.read(&mut reader, "never").await.unwrap();
    assert_eq!((&end["content"], &end["message_id"]), (&json!("one two three"), &json!(delivery)));
    let contents: Vec<Value> = events(&ann, &session).await.iter().map(|event| event["content"].clone()).collect();
    assert_eq!(contents, ["count to 3", "Here I go", "one two three"]);
}

async fn a_lease_lapses_and_lost_attempts_are_counted(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, _) = process.delivered().await;
    // A sign of life counts; so does writing on.
    server.clock.advance(29_000);
    assert_eq!(process.report(&delivery, json!({ "type": "extend" })).await["lease_ms"], 30_000);
    server.clock.advance(29_000);
    process.report(&delivery, json!({ "type": "chunk", "offset": 0, "delta": "one" })).await;
    server.clock.advance(29_000);
    process.report(&delivery, json!({ "type": "say", "id": "s", "content": "still here" })).await;
    for attempt in 2..=5 {
        server.clock.advance(30_000);
        let cancelled = process.until("cancelled").await;
        assert_eq!((&cancelled["delivery_id"], &cancelled["reason"]), (&json!(delivery), &json!("lease_lapsed")));
        let (_, deliver) = process.delivered().await;
        assert_eq!(deliver["attempt"], attempt);
        let late = json!({ "type": "done", "attempt": attempt - 1, "content": "late" });
        assert_eq!(process.refused(&delivery, late).await, "LEASE_LOST");
    }
    server.clock.advance(30_000);
    process.until("cancelled").await;
    let last = events(&ann, &session).await[2].clone();
    assert_eq!(last["content"], "**count** failed: the bot's processes broke off again and again.");
    assert_eq!(last["message_id"], json!(delivery));
    assert_eq!(process.refused(&delivery, json!({ "type": "done" })).await, "RUN_ENDED");
}

async fn what_nobody_takes_fails_in_time(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    // A process that does something else does not take it.
    let mut other = serving_with(&server, &json!({ "commands": ["sweep"] })).await;
    ask(&ann, &session, "count to 3").await;
    ask(&ann, &session, "sweep the floor").await;
    let (sweeping, deliver) = other.delivered().await;
    assert_eq!(deliver["event"]["command"], "sweep");
    // Its time is over before its lease is.
    server.clock.advance(19_999);
    other.report(&sweeping, json!({ "type": "say", "id": "s", "content": "almost" })).await;
    server.clock.advance(1);
    assert_eq!(other.until("cancelled").await["reason"], "timed_out");
    server.clock.advance(280_000);
    let page = ann.get(&format!("/api/session/{session}/events?after=4&wait=10")).await.expect(200);
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    let events = events(&ann, &session).await;
    let by_bot = |command: &str| {
        let own = events.iter().filter(|event| event["command"] == command);
        own.map(|event| event["content"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(by_bot("count"), ["**count** was not done: no process of the bot took it in time."]);
    assert_eq!(by_bot("sweep"), ["almost", "**sweep** failed: it was not done in time."]);
}

async fn what_is_given_back_comes_again_later(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, _) = process.delivered().await;
    let nack = json!({ "type": "nack", "retry_after_ms": 5000 });
    assert_eq!(process.report(&delivery, nack).await["type"], "ack");
    assert_eq!(process.refused(&delivery, json!({ "type": "done" })).await, "LEASE_LOST");
    // Something else comes before it.
    server.clock.advance(4_999);
    ask(&ann, &session, "sweep the floor").await;
    let (other, _) = process.delivered().await;
    assert_ne!(other, delivery);
    process.report(&other, json!({ "type": "done" })).await;
    server.clock.advance(1);
    let (again, deliver) = process.delivered().await;
    assert_eq!((&again, &deliver["attempt"]), (&delivery, &json!(2)));
    process.report(&delivery, json!({ "type": "done", "content": "three" })).await;
    assert_eq!(events(&ann, &session).await[3]["content"], "three");
}

async fn a_run_is_cancelled_by_its_owner(server: Arc<Server>) {
    let (ann, bob) = (server.program(Role::User).await, server.program(Role::User).await);
    let session = ann.open("away").await;
    let mut reader = ann.socket().await;
    reader.subscribe(&format!("conv:{session}"), 0).await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, deliver) = process.delivered().await;
    let run = deliver["event"]["execution_id"].as_str().unwrap().to_owned();
    process.chunk(&delivery, 0, "one two").await;
    Reply::default().read(&mut reader, "one two").await;
    let path = format!("/api/session/{session}/invocations/{run}/cancel");
    assert_eq!(bob.post(&path, &json!({})).await.error(404), "NOT_FOUND");
    let others = bob.open("away").await;
    let elsewhere = format!("/api/session/{others}/invocations/{run}/cancel");
    assert_eq!(bob.post(&elsewhere, &json!({})).await.error(404), "NOT_FOUND");
    let frame = json!({ "type": "cancel", "id": "c6", "session_id": session, "invocation_id": run });
    reader.send(&frame).await;
    let ack = reader.until("ack").await;
    let expected =
        json!({ "type": "ack", "id": "c6", "session_id": session, "invocation_id": run, "status": "cancelled" });
    assert_eq!(ack, expected);
    assert_eq!(process.until("cancelled").await["reason"], "cancelled");
    for late in [json!({ "type": "done", "content": "three" }), json!({ "type": "chunk", "offset": 7, "delta": "x" })] {
        assert_eq!(process.refused(&delivery, late).await, "RUN_CANCELLED");
    }
    let all = events(&ann, &session).await;
    assert_eq!((all.len(), &all[1]["message_id"]), (2, &json!(delivery)));
    assert_eq!((&all[1]["content"], &all[1]["tone"]), (&json!("**count** was cancelled."), &json!("warning")));
    assert_eq!(all[1]["parts"], json!([{ "type": "markdown", "text": "one two" }]), "what was said is kept");
    // Once more changes nothing; what has ended otherwise cannot be cancelled.
    assert_eq!(ann.post(&path, &json!({})).await.expect(200)["status"], "cancelled");
    assert_eq!(events(&ann, &session).await.len(), 2);
    ask(&ann, &session, "count to 4").await;
    let (delivery, deliver) = process.delivered().await;
    process.report(&delivery, json!({ "type": "done" })).await;
    let run = deliver["event"]["execution_id"].as_str().unwrap();
    let path = format!("/api/session/{session}/invocations/{run}/cancel");
    assert_eq!(ann.post(&path, &json!({})).await.error(409), "RUN_ENDED");
    // One that waits can be cancelled too, by an administrator as well.
    drop(process);
    ask(&ann, &session, "count to 5").await;
    let run = server.store().recent_executions(None, 1).await.unwrap().remove(0);
    assert_eq!(run.status.phase(), "PENDING");
    let path = format!("/api/session/{session}/invocations/{}/cancel", run.id);
    server.browser().await.post(&path, &json!({})).await.expect(200);
    let mut next = serving(&server).await;
    ask(&ann, &session, "sweep the floor").await;
    let (delivery, deliver) = next.delivered().await;
    assert_eq!(deliver["event"]["command"], "sweep", "nobody is given what was cancelled");
    next.report(&delivery, json!({ "type": "done" })).await;
}

async fn a_poll_sees_every_phase(server: Arc<Server>) {
    let program = server.program(Role::User).await;
    let body = json!({ "command": "count", "parameters": [{ "name": "number", "value": 3 }] });
    let invoke = async || {
        let invocation = program.post("/command?invoke=true", &body).await.expect(200);
        invocation["invocation"]["url"].as_str().unwrap().to_owned()
    };
    let url = invoke().await;
    let poll = program.get(&url).await.expect(200);
    assert_eq!(
        (&poll["phase"], &poll["command_response"], &poll["duration_ms"]),
        (&json!("PENDING"), &Value::Null, &Value::Null)
    );
    let mut process = serving(&server).await;
    let (delivery, deliver) = process.delivered().await;
    assert_eq!((&deliver["event"]["conversation"], &deliver["event"]["raw_message"]), (&Value::Null, &Value::Null));
    assert_eq!(program.get(&url).await.expect(200)["phase"], "RUNNING");
    let piece = json!({ "type": "chunk", "offset": 0, "delta": "one" });
    process.report(&delivery, piece).await;
    process.report(&delivery, json!({ "type": "say", "id": "s1", "content": "one" })).await;
    server.clock.advance(700);
    let address = format!("{url}?wait=20");
    let waiting = program.get(&address);
    let done = process.report(&delivery, json!({ "type": "done", "content": "three" }));
    let (poll, _) = tokio::join!(waiting, done);
    let poll = poll.expect(200);
    assert_eq!((&poll["phase"], &poll["duration_ms"]), (&json!("SUCCESS"), &json!(700)));
    let said: Vec<&Value> = poll["command_responses"].as_array().unwrap().iter().map(|said| &said["body"]).collect();
    assert_eq!((said, &poll["command_response"]["body"]), (vec![&json!("one"), &json!("three")], &json!("three")));
    // What was streamed is the answer all the same, and who follows the run reads along.
    let url = invoke().await;
    let (delivery, deliver) = process.delivered().await;
    process.report(&delivery, json!({ "type": "chunk", "offset": 0, "delta": "one " })).await;
    let mut reader = program.socket().await;
    reader.subscribe(&format!("exec:{}", deliver["event"]["execution_id"].as_str().unwrap()), 0).await;
    let partial = reader.until("message_partial").await;
    assert_eq!((&partial["content"], &partial["session_id"]), (&json!("one "), &Value::Null));
    process.report(&delivery, json!({ "type": "chunk", "offset": 4, "delta": "two" })).await;
    assert_eq!(reader.until("chunk").await["delta"], "two");
    process.report(&delivery, json!({ "type": "done" })).await;
    assert_eq!(program.get(&url).await.expect(200)["command_response"]["body"], "one two");
    let url = invoke().await;
    process.delivered().await;
    let stranger = server.program(Role::User).await;
    assert_eq!(stranger.post(&format!("{url}/cancel"), &json!({})).await.error(404), "NOT_FOUND");
    let cancelled = program.post(&format!("{url}/cancel"), &json!({})).await.expect(200);
    assert_eq!((&cancelled["phase"], &cancelled["status"]["code"]), (&json!("CANCELLED"), &json!(1)));
    assert_eq!(process.until("cancelled").await["reason"], "cancelled");
    // The run's own stream tells the same.
    let mut socket = program.socket().await;
    let id = url.rsplit('/').next().unwrap();
    let updates = socket.subscribe(&format!("exec:{id}"), 0).await;
    let statuses: Vec<&Value> = updates.iter().map(|update| &update["data"]["status"]).collect();
    assert_eq!(statuses, ["pending", "running", "cancelled"]);
}

async fn processes_share_the_work(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let one_at_a_time = json!({ "max_in_flight": 1 });
    let (mut first, mut second) =
        (serving_with(&server, &one_at_a_time).await, serving_with(&server, &one_at_a_time).await);
    for number in 0..6 {
        ask(&ann, &session, &format!("count to {number}")).await;
    }
    let mut done = Vec::new();
    for _ in 0..3 {
        // Each has one, and no second one before that is done.
        let (a, b) = (first.delivered().await, second.delivered().await);
        for (process, (delivery, deliver)) in [(&mut first, a), (&mut second, b)] {
            done.push(deliver["event"]["parameters"]["number"].as_i64().unwrap());
            process.socket.send(&json!({ "type": "ping", "timestamp": 1 })).await;
            assert_eq!(process.socket.next().await["type"], "pong");
            process.report(&delivery, json!({ "type": "done" })).await;
        }
    }
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2, 3, 4, 5]);
    let answers = events(&ann, &session).await.into_iter().filter(|event| event["sender"]["kind"] == "bot");
    assert_eq!(answers.count(), 6);
}

async fn a_streamed_reply_is_bounded(server: Arc<Server>) {
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, _) = process.delivered().await;
    let piece = "x".repeat(64 * 1024);
    for n in 0..4 {
        let frame = json!({ "type": "chunk", "offset": n * piece.len(), "delta": piece });
        assert_eq!(process.report(&delivery, frame).await["type"], "ack");
    }
    let frame = json!({ "type": "chunk", "offset": 4 * piece.len(), "delta": "x" });
    assert_eq!(process.refused(&delivery, frame).await, "REPLY_TOO_LARGE");
    process.report(&delivery, json!({ "type": "done" })).await;
    assert_eq!(events(&ann, &session).await[1]["content"].as_str().unwrap().len(), 256 * 1024);
}

/// What was asked outlives the server, whether or not a process had it.
async fn a_restart_loses_nothing(kind: Kind) {
    let server = Server::start(kind).await;
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (had, _) = process.delivered().await;
    process.chunk(&had, 0, "one").await;
    process.report(&had, json!({ "type": "say", "id": "s", "content": "on it" })).await;
    let (server, closed) = tokio::join!(server.restart(), process.socket.closed());
    assert_eq!(closed, Some(1012));
    let ann = ann.at(&server);
    ask(&ann, &session, "count to 4").await;
    // Should the server have gone too quickly to give it back, its lease lapses.
    server.clock.advance(30_000);
    let mut process = serving(&server).await;
    let mut attempts = Vec::new();
    for _ in 0..2 {
        let (delivery, deliver) = process.delivered().await;
        attempts.push((delivery == had, deliver["attempt"].as_i64().unwrap()));
        process.report(&delivery, json!({ "type": "say", "id": "s", "content": "on it" })).await;
        process.report(&delivery, json!({ "type": "done", "content": "done" })).await;
    }
    attempts.sort_unstable();
    assert_eq!(attempts, [(false, 1), (true, 2)]);
    let contents: Vec<Value> = events(&ann, &session).await.iter().map(|event| event["content"].clone()).collect();
    assert_eq!(contents.iter().filter(|content| *content == "on it").count(), 2, "once for each run: {contents:?}");
    assert_eq!(contents.iter().filter(|content| *content == "done").count(), 2);
    drop(process);
    server.finish().await;
}

#[tokio::test]
async fn sqlite_restart_loses_nothing() {
    Box::pin(a_restart_loses_nothing(Kind::Sqlite)).await;
}

#[tokio::test]
async fn postgres_restart_loses_nothing() {
    Box::pin(a_restart_loses_nothing(Kind::Postgres)).await;
}

/// People are held to a pace; a process streams as fast as it is read. The database makes no difference here.
#[tokio::test]
async fn a_process_may_stream_faster_than_people_type() {
    let server = Server::start_with(Kind::Sqlite, |_| {}).await;
    let ann = server.program(Role::User).await;
    let session = ann.open("away").await;
    let mut process = serving(&server).await;
    ask(&ann, &session, "count to 3").await;
    let (delivery, _) = process.delivered().await;
    for offset in 0..200 {
        process.chunk(&delivery, offset, "x").await;
    }
    let ack = process.report(&delivery, json!({ "type": "done" })).await;
    assert_eq!(ack["type"], "ack", "{ack}");
    assert_eq!(events(&ann, &session).await[1]["content"], "x".repeat(200));
    server.finish().await;
}
