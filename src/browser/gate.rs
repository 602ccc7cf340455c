//! The only way from a browser to the network: a SOCKS proxy on this machine that resolves names itself and opens what the
//! [`Guard`] admits, address by address, and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::fetch::Guard;

/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Connections of one browser at a time.
const MOST: usize = 256;

/// What a gate refused.
#[derive(Clone, Default)]
pub(super) struct Refusals(Arc<Mutex<Option<String>>>);

impl Refusals {
    /// The latest since it was asked the last time.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, sentence: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence);
    }
}

/// Opens a gate for one browser; the future serves it until it is dropped.
pub(super) async fn open(
    guard: Guard,
    refusals: Refusals,
) -> std::io::Result<(SocketAddr, impl Future<Output = ()> + Send)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let serve = async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            if connections.len() >= MOST {
                connections.join_next().await;
            }
            let (guard, refusals) = (guard.clone(), refusals.clone());
            connections.spawn(async move {
                // What breaks off breaks off in the browser, too.
                let _ = pass(stream, &guard, &refusals).await;
            });
        }
    };
    Ok((address, serve))
}

/// One connection: greeting, request, then bytes in both directions (RFC 1928).
async fn pass(mut inner: TcpStream, guard: &Guard, refusals: &Refusals) -> std::io::Result<()> {
    let mut head = [0; 2];
    inner.read_exact(&mut head).await?;
    let mut methods = vec![0; usize::from(head[1])];
    inner.read_exact(&mut methods).await?;
    if head[0] != 5 || !methods.contains(&0) {
        return inner.write_all(&[5, 0xff]).await;
    }
    inner.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    inner.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => IpAddr::V4(Ipv4Addr::from_bits(inner.read_u32().await?)).to_string(),
        4 => IpAddr::V6(Ipv6Addr::from_bits(inner.read_u128().await?)).to_string(),
        3 => {
            let mut name = vec![0; usize::from(inner.read_u8().await?)];
            inner.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
        _ => return answer(&mut inner, 8).await,
    };
    let port = inner.read_u16().await?;
    if request[1] != 1 {
        return answer(&mut inner, 7).await;
    }
    let addresses = match tokio::time::timeout(CONNECT, guard.resolve(&host, port)).await {
        Ok(Ok(Ok(addresses))) => addresses,
        Ok(Ok(Err(refused))) => {
            refusals.put(refused.0);
            return answer(&mut inner, 2).await;
        }
        Ok(Err(_)) | Err(_) => return answer(&mut inner, 4).await,
    };
    let Ok(Ok(mut outer)) = tokio::time::timeout(CONNECT, TcpStream::connect(&addresses[..])).await else {
        return answer(&mut inner, 5).await;
    };
    answer(&mut inner, 0).await?;
    copy_bidirectional(&mut inner, &mut outer).await?;
    Ok(())
}

async fn answer(stream: &mut TcpStream, code: u8) -> std::io::Result<()> {
    stream.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await
}
