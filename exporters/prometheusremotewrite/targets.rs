//! Resources, and the newest time of each within a request that came in: the time of its
//! `target_info`. Requests that are sent as one batch keep theirs.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use weir_model::Resource;

use super::sets::LabelSets;

#[derive(Debug)]
struct Target {
    /// Does not keep the resource from being forgotten, but its address from being used again.
    resource: Weak<Resource>,
    /// Label set of its `target_info`, if it gets one.
    line: Option<u32>,
    newest_ns: u64,
    request: u64,
}

/// Resources by place.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    targets: Vec<Option<Target>>,
    /// By address of the resource.
    places: HashMap<usize, u32, foldhash::fast::RandomState>,
    /// Address and place of the resource of the last point: the next one mostly has the same.
    last: Option<(usize, u32)>,
    free: Vec<u32>,
    touched: Vec<u32>,
    /// Number of requests that ended, so that 0 is none.
    ended: u64,
}

impl Targets {
    /// A point of this resource at this time is in the request. Gives the place of the resource if
    /// it is a new one.
    #[inline]
    pub(crate) fn touch(
        &mut self,
        resource: &Arc<Resource>,
        time_ns: u64,
        maker: impl FnOnce(&Arc<Resource>) -> Option<u32>,
    ) -> Option<u32> {
        let address = Arc::as_ptr(resource).addr();
        if let Some((last, place)) = self.last
            && last == address
        {
            self.note(place, time_ns);
            return None;
        }
        let known = self.places.get(&address).copied();
        let place = known.unwrap_or_else(|| self.add(resource, maker(resource)));
        self.last = Some((address, place));
        self.note(place, time_ns);
        known.is_none().then_some(place)
    }

    fn add(&mut self, resource: &Arc<Resource>, line: Option<u32>) -> u32 {
        let target = Target {
            resource: Arc::downgrade(resource),
            line,
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
        self.places.insert(Arc::as_ptr(resource).addr(), place);
        place
    }

    #[inline]
    fn note(&mut self, place: u32, time_ns: u64) {
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
            (target.newest_ns != 0).then_some((target.line?, target.newest_ns))
        };
        let mut infos: Vec<(u32, u64)> = self.touched.iter().filter_map(info).collect();
        self.touched.clear();
        infos.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        infos.dedup_by_key(|(id, _)| *id);
        infos
    }

    /// Frees a place if its resource is no more; whether it was.
    pub(crate) fn release(&mut self, place: u32, sets: &mut LabelSets) -> bool {
        let gone = |target: &mut Target| target.resource.strong_count() == 0;
        let slot = self.targets.get_mut(place as usize);
        let Some(target) = slot.and_then(|slot| slot.take_if(gone)) else {
            return false;
        };
        self.places.remove(&target.resource.as_ptr().addr());
        self.last = None;
        self.free.push(place);
        if let Some(line) = target.line {
            sets.release(line);
        }
        true
    }

    /// Frees the places of all resources that are no more.
    pub(crate) fn sweep(&mut self, sets: &mut LabelSets) {
        for place in 0..u32::try_from(self.targets.len()).unwrap_or(u32::MAX) {
            self.release(place, sets);
        }
    }

    /// The label sets of all `target_info`.
    pub(crate) fn for_each(&self, f: impl FnMut(u32)) {
        self.targets.iter().flatten().filter_map(|target| target.line).for_each(f);
    }
}
