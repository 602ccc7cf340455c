//! Several servers on one PostgreSQL: each tells the others what it committed, by `NOTIFY`, and listens.
//!
//! Told after the commit and not in it: PostgreSQL lets only one transaction that notifies commit at a time. Whoever dies
//! in between, and whoever was not listening, makes the others hear of it when they next look at the heads of what they
//! read.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::query::{Connection, Failure, composed, placeholders, query};
use crate::bus::{Bus, Matter};
use crate::tasks::Tasks;

/// Connections for it: one that listens, one that tells.
pub(super) const NEIGHBOURS: u32 = 2;

const CHANNEL: &str = "parlour";

/// PostgreSQL takes less than 8000 bytes; the sender's name goes before it.
const LONGEST_LETTER: usize = 7900;

/// How often a server looks whether it was told everything.
const LOOK: Duration = Duration::from_secs(10);

/// How long to wait for a database that is away.
const AGAIN: Duration = Duration::from_secs(1);

/// Streams that are looked at with one statement.
const AT_ONCE: usize = 256;

/// Tells and hears for as long as the server runs. `written` says that nothing more is committed here.
pub(super) fn stay_in_touch(pool: &PgPool, bus: &Arc<Bus>, written: CancellationToken, tasks: &Tasks) {
    bus.begin_letters();
    let name = crate::model::id::new_id();
    let (teller, stop) = ((pool.clone(), bus.clone(), name.clone()), tasks.stop_token().clone());
    tasks.spawn("neighbours told", async move {
        let (pool, bus, name) = teller;
        tell(&pool, &bus, &name, &written).await;
    });
    let (pool, bus) = (pool.clone(), bus.clone());
    tasks.spawn("neighbours heard", async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                outcome = listen(&pool, &bus, &name) => if let Err(error) = outcome {
                    tracing::warn!(%error, "failed to listen for other servers");
                },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    });
}

async fn tell(pool: &PgPool, bus: &Bus, name: &str, written: &CancellationToken) {
    loop {
        let letter = tokio::select! {
            letter = bus.next_letter(LONGEST_LETTER - name.len()) => letter,
            () = written.cancelled() => match bus.letter(LONGEST_LETTER - name.len()) {
                Some(letter) => letter,
                None => return,
            },
        };
        let letter = format!("{name}\n{letter}");
        while let Err(error) = send(pool, &letter).await {
            tracing::warn!(%error, "failed to tell other servers");
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                // They look by themselves.
                () = written.cancelled() => return,
            }
        }
    }
}

async fn send(pool: &PgPool, letter: &str) -> Result<(), Failure> {
    let mut connection = pool.acquire().await?;
    let notify = query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(letter);
    notify.execute(&mut Connection::Postgres(&mut connection)).await.map(|_| ())
}

/// Listens until that fails.
async fn listen(pool: &PgPool, bus: &Bus, name: &str) -> Result<(), Failure> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What was committed while nobody listened.
        look(pool, bus).await?;
        let next_look = tokio::time::sleep(LOOK);
        tokio::pin!(next_look);
        loop {
            tokio::select! {
                heard = listener.try_recv() => match heard? {
                    Some(letter) => match letter.payload().split_once('\n') {
                        Some((sender, letter)) if sender != name => bus.hear(letter),
                        _ => {}
                    },
                    // The connection was lost, and there is another one now.
                    None => break,
                },
                () = &mut next_look => break,
            }
        }
    }
}

/// Looks how far the streams that are read here have grown.
async fn look(pool: &PgPool, bus: &Bus) -> Result<(), Failure> {
    for streams in bus.read_streams().chunks(AT_ONCE) {
        let mut connection = pool.acquire().await?;
        // Few texts, so that each is prepared once.
        let places = streams.len().next_power_of_two();
        let find = composed(format!("SELECT stream, head FROM streams WHERE stream IN {}", placeholders(1, places)));
        let padded = streams.iter().chain(std::iter::repeat(&streams[0])).take(places);
        let find = padded.fold(find, |find, stream| find.bind(stream.as_str()));
        for row in find.all(&mut Connection::Postgres(&mut connection)).await? {
            let name: String = row.get(0)?;
            if let Some(stream) = streams.iter().find(|stream| stream.as_str() == name) {
                bus.grown_elsewhere(stream, row.get(1)?);
            }
        }
    }
    bus.look_at(Matter::Deliveries);
    bus.look_at(Matter::Credentials);
    Ok(())
}
