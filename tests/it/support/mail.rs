//! A mail server that takes everything from whoever signs in, and keeps it.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A mail as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mail {
    /// What followed `AUTH PLAIN`.
    pub(crate) login: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

pub(crate) struct MailServer {
    pub(crate) port: u16,
    taken: Arc<Mutex<Vec<Mail>>>,
    /// It ends with the value.
    _server: tokio::task::JoinSet<()>,
}

impl MailServer {
    /// Recipients whose name begins with `nobody` are not known here.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let taken: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let kept = taken.clone();
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.expect("a connection");
                // One after the other is enough; a client that goes away ends its turn.
                let _ = serve(connection, &kept).await;
            }
        });
        Self { port, taken, _server: server }
    }

    pub(crate) fn taken(&self) -> Vec<Mail> {
        self.taken.lock().expect("nobody panicked").clone()
    }
}

async fn serve(connection: TcpStream, taken: &Mutex<Vec<Mail>>) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    connection.write_all(b"220 mail.test\r\n").await?;
    let mut mail = Mail::default();
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let answer = match line.split(' ').next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => "250-mail.test\r\n250 AUTH PLAIN",
            "AUTH" => {
                mail.login = line.rsplit(' ').next().unwrap_or_default().to_owned();
                "235 welcome"
            }
            "RCPT" if line.contains("<nobody") => "550 nobody of that name",
            "RCPT" => {
                mail.to.push(line.to_owned());
                "250 known"
            }
            "DATA" => {
                connection.write_all(b"354 go on\r\n").await?;
                loop {
                    let mut line = String::new();
                    connection.read_line(&mut line).await?;
                    if line == ".\r\n" {
                        break;
                    }
                    mail.text.push_str(&line);
                }
                taken.lock().expect("nobody panicked").push(std::mem::take(&mut mail));
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 well",
        };
        connection.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}
