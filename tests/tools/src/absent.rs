//! Which fields of an answer have no value, and which of them need none?
//!
//! The client's types can be printed: a field without a
//! value is printed as `name: None`, inside of its type.

/// Fields that this broker leaves out, as `Type.field`.
const MAY_BE: &[&str] = &[
    // Files do not tell a binding's key.
    "BindingInfo.properties_key",
    "BindingInfoWithoutVirtualHost.properties_key",
    // Vhosts of which nothing of the kind was said.
    "VirtualHost.default_queue_type",
    "VirtualHost.protected_from_deletion",
    "VirtualHostMetadata.default_queue_type",
    "VirtualHostMetadata.protected_from_deletion",
    // A file of one vhost is as RabbitMQ 3.10 writes it.
    "VirtualHostDefinitionSet.metadata",
    "VirtualHostDefinitionSet.server_version",
    // There is no Erlang, and its tags are given by a configuration that we have not.
    "ClusterNode.crypto_lib_version",
    "ClusterNode.erlang_full_version",
    "ClusterNode.erlang_version",
    "Overview.cluster_tags",
    "Overview.crypto_lib_version",
    "Overview.node_tags",
    // Queues without a policy, without one consumer that excludes all others, and classic ones,
    // which are in one place.
    "QueueInfo.exclusive_consumer_tag",
    "QueueInfo.leader",
    "QueueInfo.members",
    "QueueInfo.online",
    "QueueInfo.operator_policy",
    "QueueInfo.policy",
    // Nothing of the kind has happened yet.
    "MessageStats.consumer_acknowledgement_details",
    "MessageStats.delivery_with_automatic_acknowledgement_details",
    "MessageStats.redelivery_details",
    "MessageStats.unroutable_dropped_message_details",
    "MessageStats.unroutable_returned_message_details",
];

/// Whether this broker may leave a field out.
pub fn may_be(field: &str) -> bool {
    let field = field.strip_prefix("Detailed").unwrap_or(field);
    // No queue has files of its own that it could count the use of.
    MAY_BE.contains(&field) || field.starts_with("QueueInfo.io_")
}

/// The fields that are `None` in what `{:#?}` prints.
pub fn fields(printed: &str) -> Vec<String> {
    let mut types: Vec<(usize, &str)> = Vec::new();
    let mut found = Vec::new();
    for line in printed.lines() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        types.retain(|(outer, _)| *outer < depth);
        if let Some(opened) = text.strip_suffix('{').map(str::trim_end) {
            let name = opened.rsplit(' ').next().unwrap_or(opened);
            types.push((depth, name));
        } else if let Some(field) = text.strip_suffix(": None,") {
            let (_, name) = types.last().copied().unwrap_or_default();
            found.push(format!("{name}.{field}"));
        }
    }
    found
}
