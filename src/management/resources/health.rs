//! Is something wrong with the node, as load balancers and monitors ask?

use serde_json::json;

use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] =
    &[Route { path: "health/checks/alarms", methods: &[(Method::Get, Right::Management, alarms)] }];

/// 503 while publishers are blocked for want of memory or disk.
fn alarms(call: &mut Call<'_, '_>) -> Outcome {
    let reasons = call.context.broker.block_reasons();
    let disk = reasons.disk || reasons.full;
    let resources = [("memory", reasons.memory), ("disk", disk)];
    let node = &call.context.node.identity().node_name;
    let alarms: Vec<_> = resources
        .iter()
        .filter(|(_, is_on)| *is_on)
        .map(|(resource, _)| json!({ "node": node, "resource": resource }))
        .collect();
    if alarms.is_empty() {
        return Ok(Response::json(&json!({ "status": "ok" })).into());
    }
    let reason = "There are alarms in effect in the cluster";
    let failed = json!({ "status": "failed", "reason": reason, "alarms": alarms });
    Ok(Response::with(503, &failed).into())
}
