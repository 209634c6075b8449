//! Which channel has which number?

use std::collections::BTreeMap;

use super::channel::ChannelState;

/// Numbers below this have a place in a list; a client may use any, but nearly all count from 1.
const LISTED: u16 = 2048;

/// The channels of a connection by their numbers, as far as these are or were in use.
#[derive(Debug, Default)]
pub struct Numbers {
    listed: Vec<Option<ChannelState>>,
    /// Those of high numbers, once there was one: whoever goes through all pays for few.
    beyond: Option<BTreeMap<u16, ChannelState>>,
    /// How many of them have not ended.
    count: usize,
}

impl Numbers {
    /// What became of a number; `None`: it was never used.
    #[inline]
    pub fn get(&self, number: u16) -> Option<&ChannelState> {
        if number < LISTED {
            return self.listed.get(usize::from(number))?.as_ref();
        }
        self.beyond.as_ref()?.get(&number)
    }

    /// The same, to change it.
    #[inline]
    pub fn get_mut(&mut self, number: u16) -> Option<&mut ChannelState> {
        if number < LISTED {
            return self.listed.get_mut(usize::from(number))?.as_mut();
        }
        self.beyond.as_mut()?.get_mut(&number)
    }

    /// Sets what becomes of a number; what it was.
    pub fn put(&mut self, number: u16, state: ChannelState) -> Option<ChannelState> {
        self.count += usize::from(is_in_use(&state));
        let before = if number < LISTED {
            let place = usize::from(number);
            if self.listed.len() <= place {
                self.listed.resize_with(place + 1, || None);
            }
            self.listed[place].replace(state)
        } else {
            self.beyond.get_or_insert_default().insert(number, state)
        };
        self.count -= usize::from(before.as_ref().is_some_and(is_in_use));
        before
    }

    /// How many channels there are: those whose close is not answered count too.
    pub fn count(&self) -> usize {
        self.count
    }

    fn beyond(&self) -> impl Iterator<Item = &ChannelState> {
        self.beyond.iter().flat_map(|beyond| beyond.values())
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = &ChannelState> {
        self.listed.iter().flatten().chain(self.beyond())
    }

    /// The same, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut ChannelState> {
        let beyond = self.beyond.iter_mut().flat_map(|beyond| beyond.values_mut());
        self.listed.iter_mut().flatten().chain(beyond)
    }

    /// All of them, taken out.
    pub fn into_states(self) -> impl Iterator<Item = ChannelState> {
        let beyond = self.beyond.into_iter().flat_map(|beyond| beyond.into_values());
        self.listed.into_iter().flatten().chain(beyond)
    }

    /// All of them, beginning with another one each time that `turn` grows.
    pub fn iter_in_turn(&self, turn: usize) -> impl Iterator<Item = &ChannelState> {
        let first = turn % self.listed.len().max(1);
        let (before, from_first) = self.listed.split_at(first);
        from_first.iter().chain(before).flatten().chain(self.beyond())
    }
}

fn is_in_use(state: &ChannelState) -> bool {
    match state {
        ChannelState::Open(_) | ChannelState::Closing => true,
        ChannelState::Ended => false,
    }
}
