//! What the exporters to CloudWatch Logs share, from the text of an event to the call: `json` writes
//! values, `template` fills in names of groups and streams, `request` packs events into `PutLogEvents`
//! bodies, `push` sends them and makes missing streams, `group` is about those that have to be made.

pub(crate) mod group;
pub(crate) mod json;
pub(crate) mod push;
pub(crate) mod request;
pub(crate) mod template;
