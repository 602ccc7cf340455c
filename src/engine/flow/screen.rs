//! Looking at the browser of a run, and reaching into it.

use std::sync::Arc;

use serde_json::json;

use crate::browser::Browsers;
use crate::engine::Engine;
use crate::identity::permission::Verb;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::audit::{Action, Deed, Doer};

impl Engine {
    /// The browsers of this server; none where something stands in for them.
    pub fn browsers(&self) -> Option<&Arc<Browsers>> {
        self.flows.actions.browsers()
    }

    /// Whether the caller may see a run.
    pub async fn may_watch(&self, principal: &Principal, execution: &str) -> bool {
        self.run_for(principal, Verb::View, execution).await.is_ok()
    }

    /// Clicks into the page of a run, for a person who may control it.
    pub async fn click_in_run(
        &self,
        principal: &Principal,
        execution: &str,
        (x, y): (f64, f64),
        doer: Doer,
    ) -> Result<()> {
        self.run_for(principal, Verb::Manage, execution).await?;
        let nowhere = || {
            Error::conflict("NO_BROWSER", "this run has no page open on this server")
                .details(json!({ "execution_id": execution }))
        };
        let browsers = self.browsers().filter(|browsers| browsers.has(execution)).ok_or_else(nowhere)?;
        // Written down before it is done, so that no click is missing.
        let deed = Deed {
            at: self.clock().now(),
            action: Action::BrowserClick,
            doer,
            target: Some(execution.to_owned()),
            details: json!({ "x": x, "y": y }),
        };
        self.store().record(deed).await?;
        browsers.click(execution, x, y).await.map_err(|failure| match failure.code {
            "invalid_parameters" => Error::invalid(failure.message).details(json!({ "field": "x" })),
            "browser_lost" => nowhere(),
            _ => Error::new(Kind::Unavailable, "BROWSER_BUSY", failure.message),
        })
    }
}
