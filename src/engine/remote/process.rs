//! A process that serves a bot: what it has, and how it gets more.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::Engine;
use super::{LEASE, MOST_LOSSES, stream};
use crate::bus::NewReply;
use crate::engine::answer::Speaker;
use crate::identity::permission::{Object, Verb, authorize, unknown_bot};
use crate::model::conversation::Millis;
use crate::model::name::fold;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::delivery::{Delivery, Fence};
use crate::tasks::Tasks;

/// How long to wait for a database that is away.
const AGAIN: Duration = Duration::from_secs(1);

/// The most deliveries one process may have at a time.
const MOST_IN_FLIGHT: usize = 100;

/// Processes of all bots together.
const MOST_PROCESSES: usize = 1000;

/// What a process offers to do.
#[derive(Clone, Debug)]
pub struct Service {
    pub bot: String,
    /// Only these commands; `None` takes every one that is left to processes.
    pub commands: Option<Vec<String>>,
    /// How many deliveries it takes at a time.
    pub max_in_flight: usize,
}

/// What a process is told.
#[derive(Debug)]
pub enum Order {
    /// Do this; the lease lasts [`LEASE`](super::LEASE).
    Deliver(Arc<Delivery>),
    /// Leave that.
    Withdraw { delivery: String, why: Withdrawal },
}

/// Why a process has a delivery no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    Cancelled,
    /// It was not done in time.
    TimedOut,
    /// Nothing was heard of it; another attempt does it.
    LeaseLapsed,
}

impl Withdrawal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::LeaseLapsed => "lease_lapsed",
        }
    }
}

/// A delivery a process has.
struct Held {
    delivery: Arc<Delivery>,
    lease_until: Millis,
}

/// The place of a process among those of its bot.
pub struct Seat {
    /// The bot's name as it is registered.
    pub bot: String,
    /// The commands it does, by their registered names.
    pub commands: Option<Vec<String>>,
    pub max_in_flight: usize,
    held: Mutex<HashMap<String, Held>>,
    wake: Notify,
    orders: mpsc::UnboundedSender<Order>,
}

impl Seat {
    pub(super) fn serves(&self, bot: &str) -> bool {
        self.bot == bot
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The delivery of that id, when this process has it.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Delivery>> {
        self.held().get(id).map(|held| held.delivery.clone())
    }

    /// Whether the lease of a delivery is half over.
    pub(super) fn is_half_over(&self, id: &str, now: Millis) -> bool {
        self.held().get(id).is_some_and(|held| held.lease_until - now < LEASE / 2)
    }

    pub(super) fn extended(&self, id: &str, lease_until: Millis) {
        if let Some(held) = self.held().get_mut(id) {
            held.lease_until = lease_until;
        }
    }

    /// Forgets a delivery, so that there is room for another; `false` when it was not here in that attempt.
    pub(super) fn forget(&self, fence: &Fence) -> bool {
        let mut held = self.held();
        let is_here = held.get(&fence.delivery).is_some_and(|held| held.delivery.attempt == fence.attempt);
        if is_here {
            held.remove(&fence.delivery);
        }
        drop(held);
        self.wake();
        is_here
    }

    /// Tells the process to leave a delivery, when it has it in that attempt.
    pub(super) fn withdraw(&self, fence: &Fence, why: Withdrawal) {
        if self.forget(fence) {
            // A process that is gone needs no telling.
            let _ = self.orders.send(Order::Withdraw { delivery: fence.delivery.clone(), why });
        }
    }

    fn take(&self, delivery: Delivery, lease_until: Millis) {
        let delivery = Arc::new(delivery);
        self.held().insert(delivery.id.clone(), Held { delivery: delivery.clone(), lease_until });
        let _ = self.orders.send(Order::Deliver(delivery));
    }
}

/// A process that is connected. Dropped, it is gone, and what it had is for the next one.
pub struct Process {
    pub seat: Arc<Seat>,
    orders: mpsc::UnboundedReceiver<Order>,
    _gone: DropGuard,
}

impl Process {
    /// What it is told next. Safe to drop at any point.
    pub async fn next(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            // The sender lives in the seat beside it.
            None => std::future::pending().await,
        }
    }
}

impl Engine {
    /// Seats a process that the principal may run for the bot; from now on it is told what to do.
    pub fn serve(self: &Arc<Self>, principal: &Principal, service: Service, tasks: &Tasks) -> Result<Process> {
        let snapshot = self.registry().snapshot();
        let loaded = snapshot.bot(&service.bot).ok_or_else(|| unknown_bot(&service.bot))?;
        authorize(principal, Verb::Serve, Object::Bot(&loaded.bot))?;
        if !(1..=MOST_IN_FLIGHT).contains(&service.max_in_flight) {
            let message = format!("max_in_flight is a number from 1 to {MOST_IN_FLIGHT}");
            return Err(super::refused("INVALID_REQUEST", message, "max_in_flight"));
        }
        let name = |wanted: &String| {
            let command = loaded.bot.commands.iter().find(|command| fold(&command.name) == fold(wanted));
            let unknown = || Error::not_found(format!("bot '{}' has no command '{wanted}'", loaded.bot.name));
            command.map(|command| command.name.clone()).ok_or_else(unknown)
        };
        let commands =
            service.commands.map(|wanted| wanted.iter().map(name).collect::<Result<Vec<_>>>()).transpose()?;
        if commands.as_ref().is_some_and(Vec::is_empty) {
            return Err(super::refused("INVALID_REQUEST", "commands names none; leave it out to do all", "commands"));
        }
        let (sender, orders) = mpsc::unbounded_channel();
        let seat = Arc::new(Seat {
            bot: loaded.bot.name.clone(),
            commands,
            max_in_flight: service.max_in_flight,
            held: Mutex::default(),
            wake: Notify::new(),
            orders: sender,
        });
        let mut seats = self.remote.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.len() >= MOST_PROCESSES {
            let message = format!("{MOST_PROCESSES} processes serve bots here already");
            return Err(Error::new(Kind::RateLimited, "TOO_MANY_PROCESSES", message));
        }
        let number = self.remote.next_seat.fetch_add(1, Ordering::Relaxed);
        seats.insert(number, seat.clone());
        drop(seats);
        let gone = CancellationToken::new();
        tracing::info!(bot = seat.bot, key = principal.name, "a process serves a bot");
        let (engine, place, left) = (self.clone(), seat.clone(), gone.clone());
        let stop = tasks.stop_token().clone();
        // A task of its own: a claim that was committed is never lost to a caller that gave up waiting.
        tasks.spawn("bot process", async move {
            engine.give_work(&place, &left, &stop).await;
            engine.remote.seats.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            engine.take_back(&place, !stop.is_cancelled()).await;
            tracing::info!(bot = place.bot, "a process of a bot is gone");
        });
        Ok(Process { seat, orders, _gone: gone.drop_guard() })
    }

    /// Claims deliveries for a process while it is there, whenever it has room and there may be some.
    async fn give_work(&self, seat: &Seat, gone: &CancellationToken, stop: &CancellationToken) {
        loop {
            if gone.is_cancelled() || stop.is_cancelled() {
                return;
            }
            if let Err(error) = self.claim(seat).await {
                tracing::warn!(%error, bot = seat.bot, "failed to look for work");
                // The database is away; the lease of nothing runs meanwhile.
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => continue,
                    () = gone.cancelled() => return,
                    () = stop.cancelled() => return,
                }
            }
            tokio::select! {
                () = seat.wake.notified() => {}
                () = gone.cancelled() => return,
                () = stop.cancelled() => return,
            }
        }
    }

    async fn claim(&self, seat: &Seat) -> Result<()> {
        let room = seat.max_in_flight.saturating_sub(seat.held().len());
        if room == 0 {
            return Ok(());
        }
        let now = self.clock().now();
        let lease_until = now + LEASE;
        let claimed = self.store().claim_deliveries(&seat.bot, seat.commands.clone(), room, now, lease_until).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = claimed.iter().map(|delivery| delivery.id.clone()).collect();
        let name = self.display_name(&seat.bot);
        for delivery in claimed {
            self.bus().begin_reply(NewReply {
                stream: stream(&delivery),
                message_id: delivery.id.clone(),
                sender: Speaker { id: &delivery.bot, name: &name }.sender(),
                reply_to: delivery.place.as_ref().map(|place| place.reply_to.clone()),
                invocation_id: delivery.execution.clone(),
            });
            seat.take(delivery, lease_until);
        }
        self.remote.deadlines.notify_one();
        // A run may have been cancelled between the claim and now, when its process could not be told.
        for delivery in self.store().ended_deliveries(&ids).await? {
            self.end_claimed(seat, &delivery);
        }
        Ok(())
    }

    fn end_claimed(&self, seat: &Seat, delivery: &Delivery) {
        let fence = Fence { delivery: delivery.id.clone(), attempt: delivery.attempt };
        seat.withdraw(&fence, Withdrawal::Cancelled);
        self.bus().end_reply(&stream(delivery), &delivery.id);
    }

    /// Gives back what a process had that is gone.
    async fn take_back(&self, seat: &Seat, is_loss: bool) {
        let left: Vec<Arc<Delivery>> = seat.held().drain().map(|(_, held)| held.delivery).collect();
        for delivery in left {
            let fence = Fence { delivery: delivery.id.clone(), attempt: delivery.attempt };
            // What cannot be given back now is free when its lease has lapsed.
            let outcome = match is_loss && delivery.losses + 1 >= MOST_LOSSES {
                true => self.fail_lost(&delivery).await,
                false => self.store().release_delivery(fence, self.clock().now(), is_loss).await.map(|_| ()),
            };
            if let Err(error) = outcome {
                tracing::debug!(%error, delivery = delivery.id, "failed to give a delivery back");
            }
        }
        self.remote.wake(Some(&seat.bot));
    }
}
