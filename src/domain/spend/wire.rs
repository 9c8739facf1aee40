//! A day as it is stored and exported: columns of numbers beside tables of names. Days written by earlier versions
//! (maps by user and model) are read too.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Basis;
use super::cells::{Cells, Packed};
use super::curve::Curve;
use super::day::{Cell, Corrected, DaySpend, Kind};
use crate::domain::money::Micros;
use crate::domain::time::Timestamp;

#[derive(Serialize)]
struct Written<'a> {
    /// Users, and kinds of rows.
    #[serde(rename = "u")]
    users: &'a [Arc<str>],
    #[serde(rename = "k")]
    kinds: Vec<WrittenKind<'a>>,
    /// Rows: number of the user, number of the kind and basis, amount, tokens.
    #[serde(rename = "cu")]
    cell_user: Vec<u32>,
    #[serde(rename = "ck")]
    cell_kind: Vec<u32>,
    #[serde(rename = "ca")]
    cell_amount: Vec<i64>,
    #[serde(rename = "ct")]
    cell_tokens: Vec<u64>,
    /// How it grew: user and half-hour, spend so far.
    #[serde(rename = "s", skip_serializing_if = "<[u32]>::is_empty")]
    step_at: &'a [u32],
    #[serde(rename = "st", skip_serializing_if = "Vec::is_empty")]
    step_total: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Timestamp>,
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    corrected: Option<Corrected>,
}

#[derive(Serialize)]
struct WrittenKind<'a> {
    #[serde(rename = "m")]
    model: &'a str,
    #[serde(rename = "d", skip_serializing_if = "BTreeMap::is_empty")]
    dims: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Read {
    /// As earlier versions wrote it.
    users: Option<BTreeMap<String, BTreeMap<String, OldCell>>>,
    #[serde(default)]
    u: Vec<Arc<str>>,
    #[serde(default)]
    k: Vec<ReadKind>,
    #[serde(default)]
    cu: Vec<u32>,
    #[serde(default)]
    ck: Vec<u32>,
    #[serde(default)]
    ca: Vec<i64>,
    #[serde(default)]
    ct: Vec<u64>,
    #[serde(default)]
    s: Vec<u32>,
    #[serde(default)]
    st: Vec<i64>,
    #[serde(default)]
    changed: Option<Timestamp>,
    #[serde(default)]
    x: Corrected,
}

#[derive(Deserialize)]
struct ReadKind {
    m: Arc<str>,
    #[serde(default)]
    d: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct OldCell {
    a: Micros,
    #[serde(default)]
    t: u64,
    #[serde(default)]
    b: Basis,
}

impl Serialize for DaySpend {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let kinds = self.kinds.iter().map(|k| WrittenKind { model: &k.model, dims: &k.dims }).collect();
        Written {
            users: &self.users,
            kinds,
            cell_user: self.cells.iter().map(|c| c.user).collect(),
            cell_kind: self.cells.iter().map(|c| c.kind_basis).collect(),
            cell_amount: self.cells.iter().map(|c| c.amount.0).collect(),
            cell_tokens: self.cells.iter().map(|c| c.tokens).collect(),
            step_at: &self.curve.at,
            step_total: self.curve.total.iter().map(|t| t.0).collect(),
            changed: self.changed,
            corrected: (self.corrected != Corrected::default()).then_some(self.corrected),
        }
        .serialize(s)
    }
}

impl<'de> Deserialize<'de> for DaySpend {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(d)?;
        let changed = read.changed;
        let day = match read.users {
            Some(users) => from_maps(users, changed),
            None => from_columns(read).ok_or_else(|| D::Error::custom("its columns do not fit each other"))?,
        };
        Ok(day)
    }
}

fn from_columns(read: Read) -> Option<DaySpend> {
    let rows = read.cu.len();
    if read.ck.len() != rows || read.ca.len() != rows || read.ct.len() != rows {
        return None;
    }
    let columns = read.cu.into_iter().zip(read.ck).zip(read.ca).zip(read.ct);
    let cells: Vec<Packed> = columns
        .map(|(((user, kind_basis), amount), tokens)| Packed { user, kind_basis, amount: Micros(amount), tokens })
        .collect();
    let kinds: Vec<Kind> = read.k.into_iter().map(|k| Kind { model: k.m, dims: k.d }).collect();
    let curve = Curve { at: read.s, total: read.st.into_iter().map(Micros).collect() };
    let in_order = cells.windows(2).all(|w| (w[0].user, w[0].kind()) < (w[1].user, w[1].kind()))
        && read.u.windows(2).all(|w| w[0] < w[1])
        && kinds.windows(2).all(|w| w[0] < w[1]);
    let known = cells.iter().all(|c| (c.user as usize) < read.u.len() && (c.kind() as usize) < kinds.len());
    (in_order && known && curve.is_sound(read.u.len())).then_some(DaySpend {
        users: read.u.into(),
        kinds,
        cells: Cells::of(&cells),
        curve,
        changed: read.changed,
        corrected: read.x,
    })
}

fn from_maps(users: BTreeMap<String, BTreeMap<String, OldCell>>, changed: Option<Timestamp>) -> DaySpend {
    let models: std::collections::BTreeSet<&str> = users.values().flat_map(|m| m.keys().map(String::as_str)).collect();
    let kinds: Vec<Kind> = models.iter().map(|m| Kind { model: (*m).into(), dims: BTreeMap::new() }).collect();
    let mut day = DaySpend { kinds, changed, ..DaySpend::default() };
    let mut rows: Vec<Packed> = Vec::new();
    let mut names: Vec<Arc<str>> = Vec::with_capacity(users.len());
    for (user, cells) in users.iter().filter(|(_, cells)| !cells.is_empty()) {
        let number = u32::try_from(names.len()).unwrap_or(u32::MAX);
        names.push(user.as_str().into());
        for (model, cell) in cells {
            let kind = day.kinds.partition_point(|k| k.model.as_ref() < model.as_str());
            let cell = Cell { amount: cell.a, tokens: cell.t, basis: cell.b };
            rows.push(Packed::new(number, u32::try_from(kind).unwrap_or(0), cell));
        }
    }
    (day.users, day.cells) = (names.into(), Cells::of(&rows));
    day
}
