//! `[groups]`: groups of users that money is counted for.

use std::collections::BTreeMap;

use ::config::{Value, ValueKind};

use super::problem::Problems;
use super::{parse, sections};
use crate::domain::setting::Many;
use crate::domain::spend::Groups;

/// Members of one group; each is compared with each user.
const MOST_MEMBERS: usize = 1_000;

/// Reads the section: a name and its members (ids, emails, or globs over them) each.
pub(super) fn read(section: Option<Value>, problems: &mut Problems) -> Groups {
    let Some(section) = section else { return Groups::default() };
    let origin = section.origin().map(str::to_owned);
    let ValueKind::Table(table) = section.kind else {
        problems.add_at("groups", origin.as_deref(), "must be a table of lists, like backend = [\"ana@example.com\"]");
        return Groups::default();
    };
    if table.len() > super::MAX_ENTRIES {
        problems.add("groups", format!("more than {} entries", super::MAX_ENTRIES));
    }
    let mut groups = BTreeMap::new();
    let entries: BTreeMap<String, Value> = table.into_iter().collect();
    for (name, value) in entries {
        let path = format!("groups.{name}");
        if let Err(why) = sections::check_name(&name) {
            problems.add(path.clone(), why);
        }
        let Some(Many(members)) = parse::read::<Many<String>>(value, &path, problems) else { continue };
        if members.is_empty() || members.iter().any(|m| m.trim().is_empty()) {
            problems.add(path, "must name users: ids, emails, or globs like \"*@example.com\"");
        } else if members.len() > MOST_MEMBERS {
            problems.add(path, format!("more than {MOST_MEMBERS} members; use globs"));
        } else {
            groups.insert(name, members);
        }
    }
    Groups(groups)
}
