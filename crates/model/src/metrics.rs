//! A batch of metrics: chunks that are untouched OTLP bytes or decoded points.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::error::DecodeError;
use crate::intern::Interner;
use crate::metrics_decode::{decode, validate};
use crate::metrics_encode::encode_points;
use crate::point::Point;

/// A batch of data points. Cloning shares the chunks; the first change copies what it must.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    chunks: Vec<Chunk>,
    items: usize,
}

#[derive(Clone, Debug)]
enum Chunk {
    Wire(Arc<WireMetrics>),
    Points(Arc<Vec<Point>>, Range<usize>),
}

/// An `ExportMetricsServiceRequest` as it came in, decoded at most once however many share it.
#[derive(Debug)]
struct WireMetrics {
    bytes: Bytes,
    items: usize,
    interner: Arc<Interner>,
    decoded: OnceLock<Arc<Vec<Point>>>,
}

impl WireMetrics {
    fn points(&self) -> &Arc<Vec<Point>> {
        self.decoded.get_or_init(|| {
            self.interner.set_read(true);
            // The bytes passed `validate`, which accepts exactly what `decode` reads.
            Arc::new(decode(&self.bytes, &self.interner, self.items).unwrap_or_default())
        })
    }
}

impl Chunk {
    fn points(&self) -> &[Point] {
        match self {
            Chunk::Wire(wire) => wire.points(),
            Chunk::Points(points, range) => points.get(range.clone()).unwrap_or(&[]),
        }
    }

    fn len(&self) -> usize {
        match self {
            Chunk::Wire(wire) => wire.items,
            Chunk::Points(_, range) => range.len(),
        }
    }

    fn into_points(self) -> Vec<Point> {
        match self {
            Chunk::Wire(wire) => match Arc::try_unwrap(wire) {
                Ok(wire) => {
                    wire.points();
                    wire.decoded.into_inner().map(unshare).unwrap_or_default()
                }
                Err(shared) => shared.points().as_ref().clone(),
            },
            Chunk::Points(points, range) if range == (0..points.len()) => unshare(points),
            Chunk::Points(points, range) => points.get(range).unwrap_or(&[]).to_vec(),
        }
    }
}

fn unshare(points: Arc<Vec<Point>>) -> Vec<Point> {
    Arc::try_unwrap(points).unwrap_or_else(|shared| shared.as_ref().clone())
}

impl Metrics {
    /// Takes an OTLP `ExportMetricsServiceRequest` (or `MetricsData`: the same encoding) as it is.
    /// The whole structure is checked here, so that the sender learns of malformed bytes. Points
    /// are read when somebody asks for them, or at once if the batches before were asked.
    pub fn from_otlp(bytes: Bytes, interner: &Arc<Interner>) -> Result<Self, DecodeError> {
        let decoded = OnceLock::new();
        let items = if interner.is_read() {
            let read = decode(&bytes, interner, interner.items_in(bytes.len()))?;
            interner.note_size(bytes.len(), read.len());
            decoded.get_or_init(|| Arc::new(read)).len()
        } else {
            validate(&bytes)?
        };
        if items == 0 {
            return Ok(Self::default());
        }
        let wire = WireMetrics {
            bytes,
            items,
            interner: interner.clone(),
            decoded,
        };
        Ok(Self {
            chunks: vec![Chunk::Wire(Arc::new(wire))],
            items,
        })
    }

    /// A batch of these points.
    pub fn from_points(points: Vec<Point>) -> Self {
        let items = points.len();
        if items == 0 {
            return Self::default();
        }
        Self {
            chunks: vec![Chunk::Points(Arc::new(points), 0..items)],
            items,
        }
    }

    /// Reads an OTLP/JSON request. Errors name the place.
    pub fn from_json(json: &[u8], interner: &Arc<Interner>) -> Result<Self, DecodeError> {
        let bytes = crate::json_read::to_wire(json, &crate::schema::METRICS)?;
        Self::from_otlp(bytes.into(), interner)
    }

    /// The batch as an OTLP/JSON request.
    pub fn to_json(&self) -> Vec<u8> {
        let (mut bytes, mut json) = (Vec::new(), Vec::new());
        self.encode_otlp(&mut bytes);
        crate::json_write::from_wire(&bytes, &crate::schema::METRICS, &mut json);
        json
    }

    /// Number of data points.
    pub fn len(&self) -> usize {
        self.items
    }

    /// Whether there are no data points.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// All points in order; decodes what is still bytes.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.chunks.iter().flat_map(Chunk::points)
    }

    /// Points chunk by chunk, for inner loops.
    pub fn slices(&self) -> impl Iterator<Item = &[Point]> {
        self.chunks.iter().map(Chunk::points)
    }

    /// All points, to be changed. Bytes are given up; shared points are copied.
    /// Points may be added and removed.
    pub fn points_mut(&mut self) -> PointsMut<'_> {
        let points = std::mem::take(self).into_points();
        PointsMut {
            points,
            batch: self,
        }
    }

    /// All points, owned.
    pub fn into_points(self) -> Vec<Point> {
        let mut chunks = self.chunks.into_iter();
        let mut points = chunks.next().map(Chunk::into_points).unwrap_or_default();
        for chunk in chunks {
            points.extend(chunk.into_points());
        }
        points
    }

    /// Puts another batch behind this one. Moves handles, not points.
    pub fn append(&mut self, other: Metrics) {
        self.items += other.items;
        self.chunks.extend(other.chunks);
    }

    /// Cuts the batch after `count` points and returns the rest.
    pub fn split_off(&mut self, count: usize) -> Metrics {
        let mut rest = Metrics::default();
        let mut left = count;
        let mut kept = Vec::new();
        for chunk in std::mem::take(&mut self.chunks) {
            let len = chunk.len();
            if left >= len {
                left -= len;
                kept.push(chunk);
            } else if left == 0 {
                rest.chunks.push(chunk);
            } else {
                let (points, range) = match chunk {
                    Chunk::Wire(wire) => (wire.points().clone(), 0..len),
                    Chunk::Points(points, range) => (points, range),
                };
                let middle = range.start + left;
                kept.push(Chunk::Points(points.clone(), range.start..middle));
                rest.chunks.push(Chunk::Points(points, middle..range.end));
                left = 0;
            }
        }
        self.chunks = kept;
        rest.items = self.items.saturating_sub(count);
        self.items -= rest.items;
        rest
    }

    /// The untouched request bytes, when every chunk still has them. Requests concatenate to one
    /// valid request (protobuf repeated fields).
    pub fn wire_chunks(&self) -> Option<Vec<Bytes>> {
        self.chunks
            .iter()
            .map(|chunk| match chunk {
                Chunk::Wire(wire) => Some(wire.bytes.clone()),
                Chunk::Points(..) => None,
            })
            .collect()
    }

    /// Appends the batch as an OTLP `ExportMetricsServiceRequest`; untouched bytes are copied.
    pub fn encode_otlp(&self, out: &mut Vec<u8>) {
        for chunk in &self.chunks {
            match chunk {
                Chunk::Wire(wire) => out.extend_from_slice(&wire.bytes),
                Chunk::Points(..) => encode_points(chunk.points(), out),
            }
        }
    }

    /// Bytes this batch keeps alive, roughly; used by queues and the admission guard.
    pub fn size_bytes(&self) -> usize {
        self.chunks
            .iter()
            .map(|chunk| match chunk {
                Chunk::Wire(wire) => wire.bytes.len(),
                Chunk::Points(_, range) => range.len() * POINT_BYTES,
            })
            .sum()
    }
}

/// A point and what it usually owns besides its series.
const POINT_BYTES: usize = size_of::<Point>() + 32;

/// Exclusive access to the points of a [`Metrics`]; dereferences to `Vec<Point>` and puts them back
/// when dropped.
#[derive(Debug)]
pub struct PointsMut<'a> {
    points: Vec<Point>,
    batch: &'a mut Metrics,
}

impl std::ops::Deref for PointsMut<'_> {
    type Target = Vec<Point>;
    fn deref(&self) -> &Vec<Point> {
        &self.points
    }
}

impl std::ops::DerefMut for PointsMut<'_> {
    fn deref_mut(&mut self) -> &mut Vec<Point> {
        &mut self.points
    }
}

impl Drop for PointsMut<'_> {
    fn drop(&mut self) {
        *self.batch = Metrics::from_points(std::mem::take(&mut self.points));
    }
}
