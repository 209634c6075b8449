//! Which queues are there, who publishes to which, and who consumes which?

use leveret::amqp::method::{exchange, queue};
use leveret::amqp::{Method, Table};

use crate::client::Client;
use crate::fault::Fault;
use crate::options::Options;

/// The queues (and the exchange) of a run, and how connections share them out.
#[derive(Clone, Debug)]
pub struct Topology {
    queues: Vec<String>,
    exchange: Option<String>,
    durable: bool,
    publishers: usize,
    consumers: usize,
    threads: usize,
}

/// One of the places that a publisher sends to, in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The routing key, of the same length in all lanes.
    pub routing_key: String,
    /// The queues that a message in this lane reaches.
    pub queues: Vec<usize>,
}

impl Topology {
    /// The topology that the options describe.
    pub fn new(options: &Options) -> Topology {
        let count = usize::from(options.queues);
        let prefix = &options.queue_prefix;
        Topology {
            queues: (0..count).map(|index| format!("{prefix}-{index:05}")).collect(),
            exchange: options.fanout.then(|| format!("{prefix}-fanout")),
            durable: options.durable,
            publishers: usize::from(options.publishers),
            consumers: usize::from(options.consumers),
            threads: options.threads,
        }
    }

    /// How many queues there are.
    pub fn queue_count(&self) -> usize {
        self.queues.len()
    }

    /// A queue's name.
    pub fn queue_name(&self, queue: usize) -> &str {
        &self.queues[queue]
    }

    /// The exchange to publish to; empty for the default one.
    pub fn exchange_name(&self) -> &str {
        self.exchange.as_deref().unwrap_or("")
    }

    /// How many queues a message reaches.
    pub fn copies(&self) -> u64 {
        match self.exchange {
            Some(_) => u64::try_from(self.queues.len()).unwrap_or(u64::MAX),
            None => 1,
        }
    }

    /// Where a publisher sends to: with fewer publishers than queues each has its share of
    /// the queues, otherwise each queue its share of the publishers.
    pub fn lanes(&self, publisher: usize) -> Vec<Lane> {
        if self.exchange.is_some() {
            let queues = (0..self.queues.len()).collect();
            return vec![Lane { routing_key: String::new(), queues }];
        }
        share(publisher, self.publishers, self.queues.len())
            .into_iter()
            .map(|queue| Lane { routing_key: self.queues[queue].clone(), queues: vec![queue] })
            .collect()
    }

    /// Which queues a consumer consumes, shared out in the same way.
    pub fn queues_of(&self, consumer: usize) -> Vec<usize> {
        share(consumer, self.consumers, self.queues.len())
    }

    /// The thread of a consumer: all consumers of a queue share one, so that its verifier
    /// needs no lock.
    pub fn thread_of_consumer(&self, consumer: usize) -> usize {
        consumer % self.queues.len() % self.threads
    }

    /// The thread of a publisher: counted from the other end, so that one publisher and one
    /// consumer on two threads do not share one.
    pub fn thread_of_publisher(&self, publisher: usize) -> usize {
        self.threads - 1 - publisher % self.threads
    }

    /// Makes sure that everything is there; returns how many messages are ready in the queues.
    /// With `passive` it is only looked for.
    ///
    /// # Errors
    /// What the broker has against it.
    pub fn declare(&self, client: &mut Client, passive: bool) -> Result<u64, Fault> {
        if let Some(exchange) = self.exchange.as_ref().filter(|_| !passive) {
            let declare = exchange::Declare {
                exchange: exchange.as_bytes(),
                kind: b"fanout",
                passive: false,
                durable: self.durable,
                auto_delete: false,
                internal: false,
                nowait: false,
                arguments: Table::EMPTY,
            };
            client.call(declare, |answer| {
                matches!(answer, Method::ExchangeDeclareOk(_)).then_some(())
            })?;
        }
        let mut ready = 0;
        for queue in &self.queues {
            ready += u64::from(self.declare_queue(client, queue, passive)?);
        }
        Ok(ready)
    }

    /// Empties all queues.
    ///
    /// # Errors
    /// What the broker has against it.
    pub fn purge(&self, client: &mut Client) -> Result<(), Fault> {
        for queue in &self.queues {
            let purge = queue::Purge { queue: queue.as_bytes(), nowait: false };
            client.call(purge, |answer| matches!(answer, Method::QueuePurgeOk(_)).then_some(()))?;
        }
        Ok(())
    }

    /// Deletes everything.
    ///
    /// # Errors
    /// What the broker has against it.
    pub fn delete(&self, client: &mut Client) -> Result<(), Fault> {
        for queue in &self.queues {
            let delete = queue::Delete {
                queue: queue.as_bytes(),
                if_unused: false,
                if_empty: false,
                nowait: false,
            };
            client
                .call(delete, |answer| matches!(answer, Method::QueueDeleteOk(_)).then_some(()))?;
        }
        if let Some(exchange) = &self.exchange {
            let delete =
                exchange::Delete { exchange: exchange.as_bytes(), if_unused: false, nowait: false };
            client.call(delete, |answer| {
                matches!(answer, Method::ExchangeDeleteOk(_)).then_some(())
            })?;
        }
        Ok(())
    }

    fn declare_queue(&self, client: &mut Client, name: &str, passive: bool) -> Result<u32, Fault> {
        let declare = queue::Declare {
            queue: name.as_bytes(),
            passive,
            durable: self.durable,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: Table::EMPTY,
        };
        let ready = client.call(declare, |answer| {
            if let Method::QueueDeclareOk(ok) = answer { Some(ok.message_count) } else { None }
        })?;
        if let Some(exchange) = self.exchange.as_ref().filter(|_| !passive) {
            let bind = queue::Bind {
                queue: name.as_bytes(),
                exchange: exchange.as_bytes(),
                routing_key: b"",
                nowait: false,
                arguments: Table::EMPTY,
            };
            client.call(bind, |answer| matches!(answer, Method::QueueBindOk(_)).then_some(()))?;
        }
        Ok(ready)
    }
}

/// Which of `queues` belong to connection `index` of `connections`.
fn share(index: usize, connections: usize, queues: usize) -> Vec<usize> {
    if connections >= queues {
        vec![index % queues]
    } else {
        (index..queues).step_by(connections).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(publishers: usize, consumers: usize, queues: usize) -> Topology {
        Topology {
            queues: (0..queues).map(|index| format!("q-{index}")).collect(),
            exchange: None,
            durable: false,
            publishers,
            consumers,
            threads: 2,
        }
    }

    #[test]
    fn every_queue_has_a_publisher_and_a_consumer() {
        for (publishers, consumers, queues) in [(1, 1, 5), (5, 5, 5), (7, 3, 5), (3, 11, 5)] {
            let topology = topology(publishers, consumers, queues);
            let mut fed = vec![0; queues];
            for lane in (0..publishers).flat_map(|publisher| topology.lanes(publisher)) {
                fed[lane.queues[0]] += 1;
                assert_eq!(lane.routing_key, topology.queue_name(lane.queues[0]));
            }
            assert!(fed.iter().all(|&count| count >= 1), "{fed:?}");
            let mut read = vec![0; queues];
            for queue in (0..consumers).flat_map(|consumer| topology.queues_of(consumer)) {
                read[queue] += 1;
            }
            assert!(read.iter().all(|&count| count >= 1), "{read:?}");
        }
    }

    #[test]
    fn consumers_of_one_queue_share_a_thread() {
        let topology = topology(1, 9, 3);
        let mut thread_of_queue = [None; 3];
        for consumer in 0..9 {
            for queue in topology.queues_of(consumer) {
                let thread = topology.thread_of_consumer(consumer);
                assert_eq!(*thread_of_queue[queue].get_or_insert(thread), thread);
            }
        }
        assert_ne!(topology.thread_of_publisher(0), topology.thread_of_consumer(0));
    }

    #[test]
    fn a_fanout_lane_reaches_all_queues() {
        let mut topology = topology(2, 3, 3);
        topology.exchange = Some(String::from("x"));
        let lanes = topology.lanes(1);
        assert_eq!(lanes.len(), 1);
        assert_eq!(lanes[0].queues, [0, 1, 2]);
        assert_eq!(topology.copies(), 3);
    }
}
