//! Resources, and the newest time of each within a request that came in: the time of its
//! `target_info`. Requests that are sent as one batch keep theirs.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use weir_model::Resource;

use super::lines::Maker;
use super::sets::Line;

#[derive(Debug)]
struct Target {
    /// Does not keep the resource from being forgotten, but its address from being used again.
    resource: Weak<Resource>,
    /// Its `target_info`, if it gets one.
    line: Option<Line>,
    newest_ns: u64,
    request: u64,
}

/// Resources by place. Series keep the place, so that a point costs no look-up.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    targets: Vec<Option<Target>>,
    /// By address of the resource.
    places: HashMap<usize, u32>,
    free: Vec<u32>,
    touched: Vec<u32>,
    /// Number of requests that ended, so that 0 is none.
    ended: u64,
}

impl Targets {
    /// The place of a resource.
    pub(crate) fn place(&mut self, resource: &Arc<Resource>, maker: &mut Maker<'_>) -> u32 {
        let address = Arc::as_ptr(resource).addr();
        if let Some(place) = self.places.get(&address) {
            return *place;
        }
        let target = Target {
            resource: Arc::downgrade(resource),
            line: maker.target_info(resource),
            newest_ns: 0,
            request: 0,
        };
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.targets.push(None);
                u32::try_from(self.targets.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(slot) = self.targets.get_mut(place as usize) {
            *slot = Some(target);
        }
        self.places.insert(address, place);
        place
    }

    /// A point of this resource at this time is in the request.
    #[inline]
    pub(crate) fn touch(&mut self, place: u32, time_ns: u64) {
        let request = self.ended + 1;
        let Some(Some(target)) = self.targets.get_mut(place as usize) else {
            return;
        };
        if target.request != request {
            target.request = request;
            target.newest_ns = time_ns;
            self.touched.push(place);
        } else if target.newest_ns < time_ns {
            target.newest_ns = time_ns;
        }
    }

    /// Ends a request: `target_info` of all its resources, with their times: the number of the label
    /// set and Unix nanoseconds. Equal resources give one.
    pub(crate) fn end_request(&mut self) -> Vec<(u32, u64)> {
        self.ended += 1;
        let info = |place: &u32| {
            let target = self.targets.get(*place as usize)?.as_ref()?;
            let line = target.line.as_ref()?;
            (target.newest_ns != 0).then_some((line.id, target.newest_ns))
        };
        let mut infos: Vec<(u32, u64)> = self.touched.iter().filter_map(info).collect();
        self.touched.clear();
        infos.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        infos.dedup_by_key(|(id, _)| *id);
        infos
    }

    /// Frees a place if its resource is no more; whether it was.
    pub(crate) fn release(&mut self, place: u32) -> bool {
        let gone = |target: &mut Target| target.resource.strong_count() == 0;
        let slot = self.targets.get_mut(place as usize);
        let Some(target) = slot.and_then(|slot| slot.take_if(gone)) else {
            return false;
        };
        self.places.remove(&target.resource.as_ptr().addr());
        self.free.push(place);
        true
    }

    /// Frees the places of all resources that are no more.
    pub(crate) fn sweep(&mut self) {
        for place in 0..u32::try_from(self.targets.len()).unwrap_or(u32::MAX) {
            self.release(place);
        }
    }
}
