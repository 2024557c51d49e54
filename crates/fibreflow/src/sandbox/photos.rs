//! The photo store: S3, path-style, with real JPEG files.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use image::{ImageFormat, Rgb, RgbImage};

use super::desk::{Desk, switchable};

/// The bucket there is.
pub const BUCKET: &str = "fibreflow-photos";

/// See the module. Every key names a photo of its own, except keys that hold `missing` or `broken`.
#[derive(Debug)]
pub struct PhotoSandbox {
    pub(super) desk: Arc<Desk>,
}

switchable!(PhotoSandbox);

impl PhotoSandbox {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    pub(super) fn router(this: &Arc<Self>) -> Router {
        Router::new().route("/{bucket}/{*key}", get(object)).with_state(this.clone())
    }
}

async fn object(
    State(_photos): State<Arc<PhotoSandbox>>,
    Path((bucket, key)): Path<(String, String)>,
) -> Response {
    let missing = |code: &str, what: &str| {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{what}</Message></Error>"
        );
        (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/xml")], text).into_response()
    };
    if bucket != BUCKET {
        return missing("NoSuchBucket", "The specified bucket does not exist");
    }
    if key.contains("missing") {
        return missing("NoSuchKey", "The specified key does not exist.");
    }
    let mut photo = photo(&key);
    if key.contains("broken") {
        photo.truncate(20);
    }
    ([(header::CONTENT_TYPE, "image/jpeg")], photo).into_response()
}

/// A JPEG file whose picture its key determines.
fn photo(key: &str) -> Vec<u8> {
    let shade = key.bytes().fold(0_u8, |shade, byte| shade.wrapping_mul(31).wrapping_add(byte));
    let pixel = |x: u32, y: u32| {
        let part = |value: u32| u8::try_from(value % 256).unwrap_or_default();
        Rgb([part(x + u32::from(shade)), part(y), shade])
    };
    let mut file = std::io::Cursor::new(Vec::new());
    // Writing to memory does not fail.
    let _ = RgbImage::from_fn(160, 120, pixel).write_to(&mut file, ImageFormat::Jpeg);
    file.into_inner()
}
