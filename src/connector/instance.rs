//! Instances of connectors: a name for a credential and what it sets.

use serde_json::{Value, json};

use super::Connectors;
use super::credential::{line, may_make, object as credential_object};
use crate::identity::permission::{Object, Verb, authorize, decide, unknown_resource};
use crate::model::grant::ResourceKind;
use crate::model::id::new_id;
use crate::model::principal::Principal;
use crate::model::{Error, Kind, Result};
use crate::store::audit::{Action, Deed, Doer};
use crate::store::credential::Instance;

/// An instance as somebody writes it. On a change, what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct InstanceWish {
    pub name: Option<String>,
    /// The connector's type; it never changes.
    pub kind: Option<String>,
    /// Id or name; `Some(None)` takes it away.
    pub credential: Option<Option<String>>,
    pub config: Option<Value>,
}

pub(super) fn object(instance: &Instance) -> Object<'_> {
    Object::Resource { kind: ResourceKind::Connector, name: &instance.name, owner: Some(&instance.owner) }
}

fn wrong(field: &str, message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "VALIDATION_ERROR", message).details(json!({ "field": field }))
}

impl Connectors {
    pub async fn create_instance(&self, principal: &Principal, wish: InstanceWish, doer: Doer) -> Result<Instance> {
        may_make(principal)?;
        let now = self.clock.now();
        let kind = wish.kind.clone().ok_or_else(|| wrong("type", "\"type\" is missing"))?;
        if wish.name.is_none() {
            return Err(wrong("name", "\"name\" is missing"));
        }
        let blank = Instance {
            id: new_id(),
            owner: principal.keeper().to_owned(),
            name: String::new(),
            kind,
            credential: None,
            config: "{}".to_owned(),
            created_at: now,
            updated_at: now,
        };
        let instance = self.filled(principal, blank, wish).await?;
        let deed = self.instance_deed(&instance, Action::ConnectorCreate, doer);
        self.store.insert_instance(instance.clone(), deed).await?;
        Ok(instance)
    }

    pub async fn update_instance(
        &self,
        principal: &Principal,
        reference: &str,
        wish: InstanceWish,
        doer: Doer,
    ) -> Result<Instance> {
        let before = self.instance(principal, reference).await?;
        authorize(principal, Verb::Manage, object(&before))?;
        if wish.kind.as_ref().is_some_and(|kind| *kind != before.kind) {
            return Err(wrong("type", "the type of a connector does not change; make another one"));
        }
        let mut instance = self.filled(principal, before, wish).await?;
        instance.updated_at = self.clock.now();
        let deed = self.instance_deed(&instance, Action::ConnectorChange, doer);
        self.store.update_instance(instance.clone(), deed).await?;
        Ok(instance)
    }

    /// Puts what is wished into an instance and checks all of it.
    async fn filled(&self, principal: &Principal, mut instance: Instance, wish: InstanceWish) -> Result<Instance> {
        let known = self.catalogue.all();
        let connector = known.iter().find(|one| one.kind == instance.kind).ok_or_else(|| {
            let near = crate::template::nearest(&instance.kind, known.iter().map(|one| one.kind.as_str()));
            let hint = near.map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
            wrong("type", format!("there is no connector \"{}\"{hint}", instance.kind))
        })?;
        if let Some(name) = wish.name {
            instance.name = line("name", &name, 100)?;
        }
        if let Some(credential) = wish.credential {
            instance.credential = match credential {
                None => None,
                Some(reference) => {
                    // Whoever binds a credential must be able to use it themselves.
                    let credential = self.credential(principal, &reference).await?;
                    authorize(principal, Verb::Invoke, credential_object(&credential))?;
                    if credential.provider != connector.kind {
                        let message = format!("credential '{}' is for {}", credential.name, credential.provider);
                        return Err(wrong("credentialId", message));
                    }
                    Some(credential.id)
                }
            };
        }
        if let Some(config) = wish.config {
            if !config.is_object() {
                return Err(wrong("config", "\"config\" is a map"));
            }
            let faults = connector.config.as_ref().map(|schema| schema.faults(&config)).unwrap_or_default();
            if let Some(fault) = faults.first() {
                let place = fault.field();
                let field = if place.is_empty() { "config".to_owned() } else { format!("config.{place}") };
                return Err(wrong(&field, fault.text()));
            }
            if connector.config.is_none() && config.as_object().is_some_and(|config| !config.is_empty()) {
                return Err(wrong("config", format!("{} has no settings", connector.name)));
            }
            instance.config = config.to_string();
        }
        Ok(instance)
    }

    /// The instances that somebody may know of, by name.
    pub async fn instances(&self, principal: &Principal) -> Result<Vec<Instance>> {
        let mut all = self.store.instances().await?;
        all.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(all.into_iter().filter(|one| decide(principal, Verb::View, object(one)).allowed).collect())
    }

    /// An instance by its id, or else by its name.
    pub async fn instance(&self, principal: &Principal, reference: &str) -> Result<Instance> {
        let found = self.find_instance(principal, reference).await?;
        found.ok_or_else(|| unknown_resource(ResourceKind::Connector, reference))
    }

    pub(super) async fn find_instance(&self, principal: &Principal, reference: &str) -> Result<Option<Instance>> {
        let seen = |one: &Instance| decide(principal, Verb::View, object(one)).allowed;
        if let Some(found) = self.store.instance(reference).await?.filter(seen) {
            return Ok(Some(found));
        }
        let mut named: Vec<Instance> = self.store.instances_named(reference).await?.into_iter().filter(seen).collect();
        if let Some(own) = named.iter().position(|one| one.owner == principal.keeper()) {
            return Ok(Some(named.swap_remove(own)));
        }
        if named.len() > 1 {
            let message = format!("several connectors are named '{reference}'; give the id of one");
            return Err(Error::conflict("CONNECTOR_AMBIGUOUS", message));
        }
        Ok(named.pop())
    }

    pub async fn delete_instance(&self, principal: &Principal, reference: &str, doer: Doer) -> Result<Instance> {
        let instance = self.instance(principal, reference).await?;
        authorize(principal, Verb::Manage, object(&instance))?;
        let deed = self.instance_deed(&instance, Action::ConnectorDelete, doer);
        match self.store.delete_instance(&instance.id, deed).await? {
            true => Ok(instance),
            false => Err(unknown_resource(ResourceKind::Connector, reference)),
        }
    }

    fn instance_deed(&self, instance: &Instance, action: Action, doer: Doer) -> Deed {
        Deed {
            at: self.clock.now(),
            action,
            doer,
            target: Some(instance.id.clone()),
            details: json!({ "name": instance.name, "type": instance.kind, "credential": instance.credential }),
        }
    }
}
