//! The client's side of HTTP and of web sockets with as little work as possible, so that one core can load a server
//! on another.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection and what was read from it but not yet used.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    used: usize,
}

fn broken(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, what.into())
}

impl Wire {
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), used: 0 })
    }

    /// Reads at least one byte more.
    async fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(2048);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn unused(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    fn take(&mut self, length: usize) -> &[u8] {
        let from = self.used;
        self.used += length;
        &self.buffer[from..self.used]
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The status and the head of the next answer.
    async fn head(&mut self) -> Result<(u16, String)> {
        let end = loop {
            if let Some(end) = self.unused().windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(self.take(end)).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| broken(head.as_str()))?;
        Ok((status, head))
    }

    /// The next answer with a success status; its body.
    pub(crate) async fn answer(&mut self) -> Result<&[u8]> {
        let (status, head) = self.head().await?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize =
            length.and_then(|length| length.trim().parse().ok()).ok_or_else(|| broken(head.as_str()))?;
        while self.unused().len() < length {
            self.fill().await?;
        }
        let body = self.take(length);
        match status {
            200..300 => Ok(body),
            status => Err(broken(format!("{status}: {}", String::from_utf8_lossy(body)))),
        }
    }

    /// Turns the connection into a web socket. `headers` are whole lines.
    pub(crate) async fn upgrade(&mut self, headers: &str) -> Result<()> {
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        self.write(request.as_bytes()).await?;
        match self.head().await? {
            (101, _) => Ok(()),
            (_, head) => Err(broken(head)),
        }
    }

    /// The next text frame; pings and the like are passed over.
    pub(crate) async fn text(&mut self) -> Result<&[u8]> {
        loop {
            let (head, length) = loop {
                match frame_size(self.unused()) {
                    Some((head, length)) if self.unused().len() >= head + length => break (head, length),
                    _ => self.fill().await?,
                }
            };
            let kind = self.take(head)[0] & 15;
            match kind {
                1 => return Ok(self.take(length)),
                8 => return Err(broken(format!("closed: {}", String::from_utf8_lossy(self.take(length))))),
                _ => _ = self.take(length),
            }
        }
    }
}

/// The sizes of a frame's head and body, once enough of it is here. Servers do not mask.
fn frame_size(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.get(1)? & 127 {
        126 => Some((4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)))),
        127 => Some((10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?)),
        short => Some((2, usize::from(short))),
    }
}

/// A text frame of a client. The mask is zero, which leaves the text as it is and is a mask all the same.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(short @ ..126) => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}
