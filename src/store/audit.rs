//! Who did what, from where: rows that are only ever added, each chained to the one before it by its hash.
//!
//! A deed that writes adds its row in its own transaction ([`Transaction::record`]); anything else adds it by itself.
//! Whoever adds takes the one row of `audit_head` first, so that there is one order, on PostgreSQL too.

use serde_json::{Value, json};

use super::Store;
use super::query::{Failure, Row, composed, query};
use super::transaction::{Transaction, Work, failed};
use crate::bus::{Frame, Matter};
use crate::model::conversation::Millis;
use crate::model::id::sha256_hex;
use crate::model::{Error, Result};

macro_rules! actions {
    ($($name:ident = $word:literal,)+) => {
        /// What was done. The words are those of the log itself and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($name,)+
        }

        impl Action {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

actions! {
    SignIn = "sign_in",
    SignOut = "sign_out",
    KeyCreate = "key.create",
    KeyRevoke = "key.revoke",
    GrantCreate = "grant.create",
    GrantDelete = "grant.delete",
    ServiceCreate = "service.create",
    ServiceRevoke = "service.revoke",
    ApprovalConfirm = "approval.confirm",
    ApprovalCancel = "approval.cancel",
    ApprovalGrant = "approval.grant",
    ApprovalDeny = "approval.deny",
    BotsReload = "bots.reload",
    AccessRefused = "access.refused",
    AccountLink = "account.link",
    AccountUnlink = "account.unlink",
    SlackInstall = "slack.install",
    SlackUninstall = "slack.uninstall",
    ProfileChange = "profile.change",
    GroupCreate = "group.create",
    GroupChange = "group.change",
    GroupDelete = "group.delete",
    MemberAdd = "group.member_add",
    MemberRemove = "group.member_remove",
    UserProvision = "user.provision",
    UserChange = "user.change",
    UserDeactivate = "user.deactivate",
    UserDelete = "user.delete",
    CredentialCreate = "credential.create",
    CredentialChange = "credential.change",
    CredentialDelete = "credential.delete",
    CredentialOpen = "credential.open",
    CredentialSignIn = "credential.sign_in",
    CredentialSignInLost = "credential.sign_in_lost",
    ConnectorCreate = "connector.create",
    ConnectorChange = "connector.change",
    ConnectorDelete = "connector.delete",
    WebhookCreate = "webhook.create",
    WebhookChange = "webhook.change",
    WebhookDelete = "webhook.delete",
    ScheduleCreate = "schedule.create",
    ScheduleChange = "schedule.change",
    ScheduleDelete = "schedule.delete",
    BrowserClick = "browser.click",
    VaultRotate = "vault.rotate",
    VaultExport = "vault.export",
    VaultImport = "vault.import",
}

impl Action {
    /// Whether others are in a group than before.
    fn changes_groups(self) -> bool {
        matches!(self, Self::GroupCreate | Self::GroupChange | Self::GroupDelete | Self::MemberAdd | Self::MemberRemove)
    }

    /// Whether the target is a credential that counts no more.
    fn ends_credential(self) -> bool {
        matches!(self, Self::SignOut | Self::KeyRevoke | Self::ServiceRevoke)
    }

    fn changes_webhooks(self) -> bool {
        matches!(self, Self::WebhookCreate | Self::WebhookChange | Self::WebhookDelete)
    }

    fn changes_grants(self) -> bool {
        matches!(self, Self::GrantCreate | Self::GrantDelete)
    }
}

/// Who does it, and from where; all unknown for what the installation does by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doer {
    pub principal: Option<String>,
    /// As people read it.
    pub name: Option<String>,
    /// The login session or key it was done with.
    pub credential: Option<String>,
    pub address: Option<String>,
    pub request_id: Option<String>,
}

/// A row to be added.
#[derive(Clone, Debug)]
pub struct Deed {
    pub at: Millis,
    pub action: Action,
    pub doer: Doer,
    /// What it was done to.
    pub target: Option<String>,
    /// More, without secrets; `Null` when there is nothing to add.
    pub details: Value,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub seq: i64,
    pub at: Millis,
    pub action: String,
    pub doer: Doer,
    pub target: Option<String>,
    /// JSON.
    pub details: String,
    pub previous: String,
    pub hash: String,
}

/// Which rows are wanted; everything that is given must fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub principal: Option<String>,
    pub action: Option<String>,
    pub target: Option<String>,
    /// Not before this moment.
    pub since: Option<Millis>,
    /// Before this moment.
    pub until: Option<Millis>,
    /// Only rows older than this one.
    pub before: Option<i64>,
}

/// What has changed that every server has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The newest row that was looked at.
    pub newest: i64,
    /// Credentials that count no more.
    pub ended: Vec<String>,
    /// Whether grants were made or taken away.
    pub grants: bool,
    /// Whether others are in a group than before.
    pub groups: bool,
    /// Whether webhooks have changed.
    pub webhooks: bool,
}

/// What a walk along the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    Whole {
        rows: i64,
    },
    /// The first row that is not as it was written, and what is wrong with it.
    Broken {
        seq: i64,
        fault: &'static str,
    },
}

impl Recorded {
    /// SHA-256 over everything else in the row, hex.
    fn digest(&self) -> String {
        let Doer { principal, name, credential, address, request_id } = &self.doer;
        let whole = json!([
            self.previous,
            self.seq,
            self.at,
            self.action,
            principal,
            name,
            credential,
            address,
            request_id,
            self.target,
            self.details,
        ]);
        sha256_hex(whole.to_string().as_bytes())
    }
}

const COLUMNS: &str =
    "seq, at, action, principal, name, credential, address, request_id, target, details, previous, hash";

fn recorded(row: &Row) -> Result<Recorded, Failure> {
    Ok(Recorded {
        seq: row.get(0)?,
        at: row.get(1)?,
        action: row.get(2)?,
        doer: Doer {
            principal: row.get(3)?,
            name: row.get(4)?,
            credential: row.get(5)?,
            address: row.get(6)?,
            request_id: row.get(7)?,
        },
        target: row.get(8)?,
        details: row.get(9)?,
        previous: row.get(10)?,
        hash: row.get(11)?,
    })
}

impl Transaction<'_> {
    /// Adds a row; it stands or falls with the rest of the transaction. The last thing to do in one: from here on others
    /// that add wait.
    pub(super) async fn record(&mut self, deed: &Deed) -> Result<()> {
        let take = query("UPDATE audit_head SET seq = seq + 1 WHERE name = 'audit' RETURNING seq, hash");
        let head = self.write_returning(take).await?.into_iter().next();
        let head = head.ok_or_else(|| Error::internal("add to the audit log", "it has no head"))?;
        let mut row = Recorded {
            seq: head.get(0).map_err(failed)?,
            at: deed.at,
            action: deed.action.as_str().to_owned(),
            doer: deed.doer.clone(),
            target: deed.target.clone(),
            details: deed.details.to_string(),
            previous: head.get(1).map_err(failed)?,
            hash: String::new(),
        };
        row.hash = row.digest();
        let values = super::query::placeholders(1, 12);
        let insert = composed(format!("INSERT INTO audit ({COLUMNS}) VALUES {values}"))
            .bind(row.seq)
            .bind(row.at)
            .bind(&row.action)
            .bind(row.doer.principal)
            .bind(row.doer.name)
            .bind(row.doer.credential)
            .bind(row.doer.address)
            .bind(row.doer.request_id)
            .bind(row.target)
            .bind(&row.details)
            .bind(&row.previous)
            .bind(&row.hash);
        self.write(insert).await?;
        self.write(query("UPDATE audit_head SET hash = $1 WHERE name = 'audit'").bind(&row.hash)).await?;
        if deed.action.ends_credential() || deed.action.changes_groups() || deed.action.changes_webhooks() {
            self.announce(Frame::Look(Matter::Credentials));
        }
        Ok(())
    }
}

struct Record(Deed);

impl Work for Record {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction<'_>) -> Result<()> {
        transaction.record(&self.0).await
    }
}

/// Rows that are read at once on a walk along the chain.
const STRIDE: i64 = 500;

impl Store {
    /// Adds a row for a deed that has no transaction of its own.
    pub async fn record(&self, deed: Deed) -> Result<()> {
        self.write(Record(deed)).await
    }

    /// The newest `limit` rows that fit, newest first.
    pub async fn audit(&self, filter: &Filter, limit: i64) -> Result<Vec<Recorded>> {
        let mut reader = self.reader().await?;
        let find = composed(format!(
            "SELECT {COLUMNS} FROM audit WHERE (cast($1 AS TEXT) IS NULL OR principal = $1) \
             AND (cast($2 AS TEXT) IS NULL OR action = $2) AND (cast($3 AS TEXT) IS NULL OR target = $3) \
             AND at >= $4 AND at < $5 AND seq < $6 ORDER BY seq DESC LIMIT $7"
        ))
        .bind(filter.principal.clone())
        .bind(filter.action.clone())
        .bind(filter.target.clone())
        .bind(filter.since.unwrap_or(Millis::MIN))
        .bind(filter.until.unwrap_or(Millis::MAX))
        .bind(filter.before.unwrap_or(i64::MAX))
        .bind(limit);
        let rows = find.all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| recorded(row).map_err(failed)).collect()
    }

    /// The newest row's number; 0 when there is none.
    pub async fn audit_head(&self) -> Result<i64> {
        Ok(self.audit_end().await?.0)
    }

    async fn audit_end(&self) -> Result<(i64, String)> {
        let mut reader = self.reader().await?;
        let head = query("SELECT seq, hash FROM audit_head WHERE name = 'audit'");
        let row = head.one(&mut reader.connection()).await.map_err(failed)?;
        Ok((row.get(0).map_err(failed)?, row.get(1).map_err(failed)?))
    }

    /// What rows after `after` tell a server that did not write them.
    pub async fn news(&self, after: i64) -> Result<News> {
        let mut news = News { newest: after, ended: Vec::new(), grants: false, groups: false, webhooks: false };
        for row in self.audit_from(after, STRIDE).await? {
            news.newest = row.seq;
            let action = Action::ALL.iter().copied().find(|action| action.as_str() == row.action);
            news.grants |= action.is_some_and(Action::changes_grants);
            news.webhooks |= action.is_some_and(Action::changes_webhooks);
            if action.is_some_and(Action::ends_credential) {
                news.ended.extend(row.target);
            }
            news.groups |= action.is_some_and(Action::changes_groups);
        }
        Ok(news)
    }

    /// Rows after `after` in their order, at most `limit`.
    async fn audit_from(&self, after: i64, limit: i64) -> Result<Vec<Recorded>> {
        let mut reader = self.reader().await?;
        let find = composed(format!("SELECT {COLUMNS} FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2"));
        let rows = find.bind(after).bind(limit).all(&mut reader.connection()).await.map_err(failed)?;
        rows.iter().map(|row| recorded(row).map_err(failed)).collect()
    }

    /// Walks the whole chain.
    pub async fn verify_audit(&self) -> Result<Chain> {
        // Read first: rows that are added meanwhile are no fault.
        let (head, head_hash) = self.audit_end().await?;
        let (mut seq, mut hash) = (0, String::new());
        while seq < head {
            let rows = self.audit_from(seq, STRIDE.min(head - seq)).await?;
            if rows.is_empty() {
                return Ok(Chain::Broken { seq: seq + 1, fault: "it is missing" });
            }
            for row in rows {
                seq += 1;
                if row.seq != seq {
                    return Ok(Chain::Broken { seq, fault: "it is missing" });
                }
                if row.hash != row.digest() {
                    return Ok(Chain::Broken { seq, fault: "its content was changed" });
                }
                if row.previous != hash {
                    return Ok(Chain::Broken { seq, fault: "it does not follow the row before it" });
                }
                hash = row.hash;
            }
        }
        if hash != head_hash {
            return Ok(Chain::Broken { seq, fault: "it is not the row that was written last" });
        }
        Ok(Chain::Whole { rows: seq })
    }
}
