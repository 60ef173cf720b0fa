//! The span's part of the `aws` block.

use weir_model::ValueRef;

use crate::json::{DocumentWriter, member};
use crate::keys::{Key, Scan};
use crate::resource::ResourceView;

/// Writes the block, unless the resource is of another cloud (XR-33). `call` tells whether the
/// members about the call itself are written, which the service half of a split span has not.
pub(crate) fn write(
    w: &mut DocumentWriter<'_>,
    scan: &Scan<'_>,
    resource: &ResourceView,
    call: bool,
) {
    let Some(shared) = &resource.aws else { return };
    w.raw(concat!(member!("aws"), "{"));
    w.fragment(shared);
    if call {
        write_call(w, scan, &resource.account_id);
    }
    w.close_object();
}

/// Account, operation, region, request, queue and tables (XR-37).
fn write_call(w: &mut DocumentWriter<'_>, scan: &Scan<'_>, account_of_resource: &str) {
    let account = match scan.get(Key::AwsAccountId) {
        None | Some(ValueRef::Empty) => account_of_resource,
        Some(account) => account.as_str().unwrap_or(""),
    };
    w.text_member(member!("account_id"), account);
    let operation = scan
        .text(Key::AwsOperation)
        .or_else(|| scan.text(Key::RpcMethod));
    w.text_member(member!("operation"), operation.unwrap_or(""));
    w.text_member(member!("region"), scan.text(Key::AwsRegion).unwrap_or(""));
    let request = scan.later_text(Key::AwsRequestId, Key::AwsRequestIdCamel);
    w.text_member(member!("request_id"), request.unwrap_or(""));
    let queue = scan
        .text(Key::MessagingUrl)
        .or_else(|| scan.later_text(Key::AwsQueueUrl, Key::AwsQueueUrlDotted));
    w.text_member(member!("queue_url"), queue.unwrap_or(""));
    write_tables(w, scan);
}

fn write_tables(w: &mut DocumentWriter<'_>, scan: &Scan<'_>) {
    let mut table = scan
        .later_text(Key::AwsTableName, Key::AwsTableNameDotted)
        .unwrap_or("");
    match scan.get(Key::AwsDynamodbTableNames) {
        Some(ValueRef::Str(name)) => table = name,
        Some(ValueRef::List(names)) => {
            let mut texts = names.iter().map(|name| name.as_str().unwrap_or(""));
            match (texts.next(), texts.next()) {
                (Some(name), None) => table = name,
                (Some(_), Some(_)) => {
                    w.raw(concat!(member!("table_names"), "["));
                    for name in names.iter() {
                        w.long_text(name.as_str().unwrap_or(""));
                    }
                    w.close_array();
                    return;
                }
                _ => {}
            }
        }
        _ => {}
    }
    w.text_member(member!("table_name"), table);
}
