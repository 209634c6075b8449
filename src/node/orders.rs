//! What may change of the node while it runs, and how does it?

use crate::amqp::Name;
use crate::management::{self, Order};

use super::Node;

impl Node {
    /// Changes what somebody may order.
    pub fn carry_out(&mut self, order: Order) {
        match order {
            Order::LimitMemory(bytes) => {
                self.change_limits(|limits| limits.memory_bytes_max = bytes);
            }
            Order::LimitDisk(bytes) => {
                self.change_limits(|limits| limits.disk_free_bytes_min = bytes);
            }
            Order::LogLevel(level) => log::set_max_level(level),
            Order::ClusterName(name) => {
                management::name_cluster(&mut self.broker, &name);
                self.follow_cluster_name();
            }
            Order::PublishEvents(vhost) => {
                self.broker.publish_events_in(vhost.as_deref().map(Name::from));
            }
            Order::PublishLog(of) => {
                let level = of.as_ref().map_or(log::LevelFilter::Off, |(_, level)| *level);
                if let Some(tail) = self.log_tail {
                    tail.keep(level);
                }
                self.broker.publish_log_in(of.map(|(vhost, _)| Name::from(vhost)));
            }
            Order::Cors(cors) => self.operators.cors = cors,
            Order::LoginSession(minutes) => self.operators.logins.sessions.limit_age(minutes),
            Order::Heartbeat(seconds) => self.limits.heartbeat_s = seconds,
            Order::FrameMax(bytes) => self.limits.frame_bytes_max = bytes,
            Order::ChannelMax(number) => self.limits.channel_max = number,
            Order::MessageMax(bytes) => {
                self.limits.message_bytes_max = bytes;
                self.operators.identity.message_bytes_max = bytes;
            }
            Order::Product(name, version) => {
                self.limits.product_name = name.as_str().into();
                self.limits.product_version = version.as_str().into();
                self.operators.identity.product_name = name;
                self.operators.identity.product_version = version;
            }
            Order::ConnectionMax(count) => self.broker.users_mut().limit_connections(count),
            Order::ConsumerTimeout(ms) => self.broker.queues_mut().set_consumer_timeout(ms),
            Order::LoopbackUsers(names) => {
                let names = names.iter().map(|name| Name::from(name.as_str())).collect();
                self.broker.users_mut().set_loopback_only(names);
            }
            Order::Stop => self.operators.is_stop_ordered = true,
        }
    }

    /// The largest frame that anybody is offered.
    pub fn frame_bytes_max(&self) -> u32 {
        self.limits.frame_bytes_max
    }
}
