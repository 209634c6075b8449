//! Which socket belongs to which of the node's connections?

use super::connection::Connection;
use crate::broker::ConnectionKey;
use crate::broker::key::ArenaKey;

/// The loop's connections, found by the keys that the node gave out.
#[derive(Debug, Default)]
pub struct Connections {
    /// By the key's index, with its generation.
    slots: Vec<Option<(u32, Connection)>>,
}

impl Connections {
    /// Takes in the socket of the connection that the node calls `key`.
    pub fn insert(&mut self, key: ConnectionKey, connection: Connection) {
        let index = key.index() as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some((key.generation(), connection));
    }

    /// The connection, unless it is gone.
    #[inline]
    pub fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        let (generation, connection) = self.slots.get_mut(key.index() as usize)?.as_mut()?;
        (*generation == key.generation()).then_some(connection)
    }

    /// Takes the connection out.
    pub fn remove(&mut self, key: ConnectionKey) -> Option<Connection> {
        self.get_mut(key)?;
        self.slots[key.index() as usize].take().map(|(_, connection)| connection)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().flatten().map(|(_, connection)| connection)
    }
}
