//! How does a test have several methods and messages arrive together, in one TCP segment?

use leveret::amqp::{Method, PropertyList, encoder};

use super::basic;
use super::client::encode_publish;

/// What is sent at once on channel 1.
#[derive(Default)]
pub struct Burst(pub Vec<u8>);

impl Burst {
    /// Adds a method.
    pub fn method<'a>(mut self, method: impl Into<Method<'a>>) -> Burst {
        encoder::method_frame(&mut self.0, 1, &method.into());
        self
    }

    /// Adds a message to a queue.
    pub fn publish(mut self, queue: &str, properties: &PropertyList<'_>, body: &[u8]) -> Burst {
        let publish = basic::Publish { routing_key: queue.as_bytes(), ..Default::default() };
        encode_publish(&mut self.0, 1, publish, properties, body, 131_072);
        self
    }

    /// Adds a message without properties to a queue.
    pub fn message(self, queue: &str, body: &[u8]) -> Burst {
        self.publish(queue, &PropertyList::default(), body)
    }
}
