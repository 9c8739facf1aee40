//! Changes to a workspace as data, for stories and scripts.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::FaultRule;
use super::model::{Model, NewThread, Role, ThreadEdit};
use super::workspace::FakeWorkspace;
use super::world::{CursorStyle, FakeError};
use crate::domain::time::SignedDuration;

/// One thing that happens. `who` is an email or a user id everywhere.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Answers with the `id`.
    AddThread {
        thread: Box<NewThread>,
    },
    EditThread {
        id: String,
        edit: Box<ThreadEdit>,
    },
    RemoveThread {
        id: String,
    },
    SetThreadUsage {
        id: String,
        usd: Option<String>,
    },
    /// Answers with the user's `id`.
    AddMember {
        name: String,
        email: String,
        #[serde(default)]
        role: Role,
    },
    RemoveMember {
        who: String,
    },
    SetRole {
        who: String,
        role: Role,
    },
    RenameMember {
        who: String,
        name: String,
    },
    ChangeEmail {
        who: String,
        email: String,
    },
    SetUsage {
        date: Date,
        who: String,
        usd: String,
        #[serde(default)]
        models: BTreeMap<String, Model>,
    },
    ClearUsage {
        date: Date,
        who: String,
    },
    SetScopes {
        scopes: Vec<String>,
    },
    SetTokenTtl {
        secs: i64,
    },
    RotateSecret {
        secret: String,
    },
    RevokeClient,
    RevokeTokens,
    SetClockSkew {
        secs: i64,
    },
    SetCursorStyle {
        style: CursorStyle,
    },
    AddFault {
        rule: FaultRule,
    },
    ClearFaults,
}

impl FakeWorkspace {
    /// Makes a change; the answer says what was made up on the way.
    pub fn apply(&self, change: Change) -> Result<Value, FakeError> {
        match change {
            Change::AddThread { thread } => return Ok(json!({ "id": self.add_thread(*thread)? })),
            Change::EditThread { id, edit } => self.edit_thread(&id, *edit)?,
            Change::RemoveThread { id } => self.remove_thread(&id)?,
            Change::SetThreadUsage { id, usd } => self.set_thread_usage(&id, usd.as_deref())?,
            Change::AddMember { name, email, role } => {
                return Ok(json!({ "id": self.add_member(&name, &email, role) }));
            }
            Change::RemoveMember { who } => self.remove_member(&who)?,
            Change::SetRole { who, role } => self.set_role(&who, role)?,
            Change::RenameMember { who, name } => self.rename_member(&who, &name)?,
            Change::ChangeEmail { who, email } => self.change_email(&who, &email)?,
            Change::SetUsage { date, who, usd, models } => self.set_usage(date, &who, &usd, models)?,
            Change::ClearUsage { date, who } => self.clear_usage(date, &who)?,
            Change::SetScopes { scopes } => self.set_scopes(scopes),
            Change::SetTokenTtl { secs } => self.set_token_ttl(SignedDuration::from_secs(secs)),
            Change::RotateSecret { secret } => self.rotate_secret(&secret),
            Change::RevokeClient => self.revoke_client(),
            Change::RevokeTokens => self.revoke_tokens(),
            Change::SetClockSkew { secs } => self.set_clock_skew(SignedDuration::from_secs(secs)),
            Change::SetCursorStyle { style } => self.set_cursor_style(style),
            Change::AddFault { rule } => self.add_fault(rule),
            Change::ClearFaults => self.clear_faults(),
        }
        Ok(json!({}))
    }
}
