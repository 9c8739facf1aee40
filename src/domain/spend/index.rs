//! Cutting the ledger into scopes, quickly: names become numbers once a day, sums are kept by number.

use std::collections::HashMap;

use jiff::civil::Date;

use super::cells::Packed;
use super::day::DaySpend;
use super::{Basis, Groups, Kind, Ledger, People, Per, Scope, Sum};

/// Whose money, cut how.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    pub sources: &'a [String],
    pub per: &'a Per,
    pub groups: &'a Groups,
    pub people: &'a People<'a>,
}

/// Numbers of scopes, the same for every day they are asked for. In order of appearance, which is the ledger's order.
pub struct Index<'a> {
    ledger: &'a Ledger,
    cut: Cut<'a>,
    numbers: HashMap<Key<'a>, u32>,
    keys: Vec<Key<'a>>,
    /// Users' groups, looked up once each.
    memberships: HashMap<&'a str, Vec<u32>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Workspace,
    User(&'a str),
    Model(&'a str),
    Pair(&'a str, &'a str),
    Group(&'a str),
    Other(&'a str),
}

/// Not counted: nobody's, or no model's.
const NONE: u32 = u32::MAX;

impl<'a> Index<'a> {
    pub fn new(ledger: &'a Ledger, cut: Cut<'a>) -> Self {
        Self { ledger, cut, numbers: HashMap::new(), keys: Vec::new(), memberships: HashMap::new() }
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The scope of a number.
    pub fn scope(&self, number: usize) -> Scope {
        match self.keys.get(number) {
            None | Some(Key::Workspace) => Scope::Workspace,
            Some(Key::User(id)) => Scope::User((*id).to_owned()),
            Some(Key::Model(name)) => Scope::Model((*name).to_owned()),
            Some(Key::Pair(id, model)) => Scope::UserModel((*id).to_owned(), (*model).to_owned()),
            Some(Key::Group(name)) => Scope::Group((*name).to_owned()),
            Some(Key::Other(value)) => Scope::Other(self.cut.per.as_str().to_owned(), (*value).to_owned()),
        }
    }

    /// Adds a day of all sources to sums by number. Estimates count only where nothing was billed that day.
    pub fn add(&mut self, day: Date, sums: &mut Vec<Sum>) {
        let next = crate::domain::time::plus_days(day, 1);
        let billed_only = self.ledger.has_billed(self.cut.sources, day, next);
        self.add_range(day, next, billed_only, sums);
    }

    /// Adds `[from, to)`, where estimates count only if nothing was billed in all of it.
    pub fn add_range(&mut self, from: Date, to: Date, billed_only: bool, sums: &mut Vec<Sum>) {
        for source in self.cut.sources {
            for (_, spend) in self.ledger.range(source, from, to) {
                self.add_day(spend, billed_only, sums);
            }
        }
    }

    fn add_day(&mut self, day: &'a DaySpend, billed_only: bool, sums: &mut Vec<Sum>) {
        let shares_are_guesses = matches!(self.cut.per, Per::Model | Per::UserModel | Per::Other(_));
        let counts = |c: &Packed| !(billed_only && c.basis() == Basis::Estimate);
        let mut book = |number: u32, cell: Packed| {
            let number = number as usize;
            if sums.len() <= number {
                sums.resize(number + 1, Sum::default());
            }
            let basis = cell.basis();
            sums[number].amount += cell.amount;
            sums[number].estimated |= basis == Basis::Estimate || (shares_are_guesses && basis == Basis::Split);
        };
        match self.cut.per {
            Per::Workspace => {
                let all = self.number(Key::Workspace) as usize;
                if let Some(sum) = day.cells.total(billed_only) {
                    sums.resize(sums.len().max(all + 1), Sum::default());
                    sums[all].add(sum);
                }
            }
            Per::User => {
                let users: Vec<u32> =
                    day.users.iter().map(|u| if u.is_empty() { NONE } else { self.number(Key::User(u)) }).collect();
                for cell in day.cells.iter().filter(counts) {
                    let number = users[cell.user as usize];
                    if number != NONE {
                        book(number, cell);
                    }
                }
            }
            Per::Group => {
                let groups: Vec<Vec<u32>> = day.users.iter().map(|u| self.groups_of(u)).collect();
                for cell in day.cells.iter().filter(counts) {
                    groups[cell.user as usize].iter().for_each(|number| book(*number, cell));
                }
            }
            Per::Model | Per::Other(_) => {
                let kinds: Vec<u32> =
                    day.kinds.iter().map(|k| self.kind_key(k).map_or(NONE, |k| self.number(k))).collect();
                for cell in day.cells.iter().filter(counts) {
                    let number = kinds[cell.kind() as usize];
                    if number != NONE {
                        book(number, cell);
                    }
                }
            }
            Per::UserModel => {
                for cell in day.cells.iter().filter(counts) {
                    let (user, kind) = (&day.users[cell.user as usize], &day.kinds[cell.kind() as usize]);
                    if !user.is_empty() && !kind.model.is_empty() {
                        let number = self.number(Key::Pair(user, &kind.model));
                        book(number, cell);
                    }
                }
            }
        }
    }

    fn kind_key(&self, kind: &'a Kind) -> Option<Key<'a>> {
        match self.cut.per {
            Per::Other(dimension) => kind.dims.get(dimension).map(|value| Key::Other(value)),
            _ => (!kind.model.is_empty()).then_some(Key::Model(&kind.model)),
        }
    }

    fn number(&mut self, key: Key<'a>) -> u32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(NONE);
        self.keys.push(key);
        self.numbers.insert(key, number);
        number
    }

    fn groups_of(&mut self, user: &'a str) -> Vec<u32> {
        if let Some(known) = self.memberships.get(user) {
            return known.clone();
        }
        let names = self.cut.groups.of(user, self.cut.people.get(user));
        let numbers: Vec<u32> = names.into_iter().map(|name| self.number(Key::Group(name))).collect();
        self.memberships.insert(user, numbers.clone());
        numbers
    }
}
