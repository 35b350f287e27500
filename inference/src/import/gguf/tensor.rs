//! Where each tensor lies in the file, and how it is encoded.

use std::{collections::HashSet, io::Read};

use super::{GgufError, cursor::Cursor};

/// The shortest possible entry: an empty name, no dimension, a type, an offset.
const SHORTEST_INFO: u64 = 24;
const MAX_DIMENSIONS: u32 = 4;

/// The encodings that we can decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TensorType {
    /// 32 bit floats.
    F32,
    /// 16 bit IEEE floats.
    F16,
    /// 16 bit brain floats.
    Bf16,
    /// Blocks of 32 four-bit values with a scale.
    Q4_0,
    /// Blocks of 32 four-bit values with a scale and a minimum.
    Q4_1,
    /// Blocks of 32 five-bit values with a scale.
    Q5_0,
    /// Blocks of 32 five-bit values with a scale and a minimum.
    Q5_1,
    /// Blocks of 32 eight-bit values with a scale.
    Q8_0,
    /// Blocks of 256 two-bit values, with 16 scales and minimums.
    Q2K,
    /// Blocks of 256 three-bit values, with 16 scales.
    Q3K,
    /// Blocks of 256 four-bit values, with 8 scales and minimums.
    Q4K,
    /// Blocks of 256 five-bit values, with 8 scales and minimums.
    Q5K,
    /// Blocks of 256 six-bit values, with 16 scales.
    Q6K,
}

impl TensorType {
    const ALL: [Self; 13] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q2K => 10,
            Self::Q3K => 11,
            Self::Q4K => 12,
            Self::Q5K => 13,
            Self::Q6K => 14,
            Self::Bf16 => 30,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Values that share a scale. Plain floats have none.
    pub(crate) fn group_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q2K | Self::Q3K | Self::Q6K => 16,
            _ => 32,
        }
    }

    /// Values per block.
    pub(crate) fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes per block.
    pub(crate) fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    pub(super) fn supported_names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// One tensor of the file.
#[derive(Debug, Clone)]
pub(crate) struct TensorInfo {
    /// Its name, such as `blk.0.attn_q.weight`.
    pub(crate) name: String,
    /// Its dimensions, outermost first (a matrix is `[rows, columns]`), which is the reverse of the file's order.
    pub(crate) dimensions: Vec<usize>,
    /// Its encoding.
    pub(crate) kind: TensorType,
    /// Where its data begins in the file.
    pub(crate) file_offset: u64,
    /// The bytes of its data.
    pub(crate) byte_length: u64,
}

pub(super) fn read_infos<R: Read>(
    cursor: &mut Cursor<R>,
    count: u64,
) -> Result<Vec<TensorInfo>, GgufError> {
    cursor.expect_room(count, SHORTEST_INFO, "the list of tensors")?;
    let mut names = HashSet::new();
    let mut infos = Vec::new();
    for index in 0..count {
        let info = read_info(cursor, index)?;
        if !names.insert(info.name.clone()) {
            return Err(cursor.corrupt(&format!("tensor {}", info.name), "occurs twice"));
        }
        infos.push(info);
    }
    Ok(infos)
}

/// Reads one entry. Its offset is still relative to the data part, whose place is not known yet.
fn read_info<R: Read>(cursor: &mut Cursor<R>, index: u64) -> Result<TensorInfo, GgufError> {
    let name = cursor.string(&format!("the name of tensor {index}"))?;
    let what = format!("the description of tensor {name}");
    let rank = cursor.u32(&what)?;
    if rank > MAX_DIMENSIONS {
        return Err(cursor.corrupt(
            &what,
            format!("has {rank} dimensions, and {MAX_DIMENSIONS} are the most"),
        ));
    }
    let mut sizes = (0..rank)
        .map(|_| cursor.u64(&what))
        .collect::<Result<Vec<_>, _>>()?;
    sizes.reverse();
    let number = cursor.u32(&what)?;
    let Some(kind) = TensorType::from_number(number) else {
        return Err(GgufError::UnsupportedTensorType {
            tensor: name,
            found: unsupported_name(number),
        });
    };
    let file_offset = cursor.u64(&what)?;
    let byte_length =
        byte_length(&sizes, kind).map_err(|problem| cursor.corrupt(&what, problem))?;
    let dimensions = sizes
        .iter()
        .map(|&size| usize::try_from(size))
        .collect::<Result<_, _>>();
    let dimensions = dimensions.map_err(|_| cursor.corrupt(&what, "is larger than memory"))?;
    Ok(TensorInfo {
        name,
        dimensions,
        kind,
        file_offset,
        byte_length,
    })
}

fn byte_length(sizes: &[u64], kind: TensorType) -> Result<u64, &'static str> {
    const TOO_LARGE: &str = "is larger than any file";
    let columns = sizes.last().copied().unwrap_or(1);
    if columns % kind.block_values() as u64 != 0 {
        return Err("has rows that are not whole blocks");
    }
    let values = sizes
        .iter()
        .try_fold(1_u64, |product, &size| product.checked_mul(size))
        .ok_or(TOO_LARGE)?;
    (values / kind.block_values() as u64)
        .checked_mul(kind.block_bytes() as u64)
        .ok_or(TOO_LARGE)
}

/// Turns relative offsets into places in the file, and checks that the file reaches that far.
pub(super) fn place(
    tensors: &mut [TensorInfo],
    end_of_infos: u64,
    alignment: u64,
    file_length: u64,
) -> Result<(), GgufError> {
    let start = end_of_infos.next_multiple_of(alignment);
    for tensor in tensors {
        let relative = tensor.file_offset;
        let what = format!("the data of tensor {}", tensor.name);
        if !relative.is_multiple_of(alignment) {
            let problem =
                format!("lies at offset {relative}, which is not a multiple of {alignment}");
            return Err(GgufError::Corrupt {
                what,
                offset: start,
                problem,
            });
        }
        tensor.file_offset = start.saturating_add(relative);
        let available = file_length.saturating_sub(tensor.file_offset);
        if tensor.byte_length > available {
            let (offset, needed) = (tensor.file_offset, tensor.byte_length);
            return Err(GgufError::Truncated {
                what,
                offset,
                needed,
                available,
            });
        }
    }
    Ok(())
}

/// The names of encodings that exist and that we do not decode.
fn unsupported_name(number: u32) -> String {
    let known = match number {
        9 => "Q8_1",
        15 => "Q8_K",
        16..=23 | 29 => "an IQ encoding",
        34 | 35 => "a ternary encoding",
        39 => "MXFP4",
        _ => return format!("number {number}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(dimensions: &[u64], kind: u32, offset: u64) -> Result<Vec<TensorInfo>, GgufError> {
        let mut bytes = 1_u64.to_le_bytes().to_vec();
        bytes.push(b't');
        bytes.push(u8::try_from(dimensions.len()).unwrap_or(u8::MAX));
        bytes.extend([0; 3]);
        for size in dimensions {
            bytes.extend(size.to_le_bytes());
        }
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        read_infos(&mut Cursor::new(bytes.as_slice(), bytes.len() as u64), 1)
    }

    #[test]
    fn dimensions_are_turned_to_rows_first() {
        let infos = info(&[64, 3], 8, 0).expect("valid");
        assert_eq!(infos[0].dimensions, [3, 64]);
        assert_eq!(infos[0].byte_length, 3 * 2 * 34);
    }

    #[test]
    fn an_unsupported_encoding_names_tensor_and_type() {
        let message = info(&[256, 3], 15, 0).expect_err("Q8_K").to_string();
        assert!(
            message.starts_with("tensor t has the type Q8_K, which is not supported"),
            "{message}"
        );
        let message = info(&[256, 3], 99, 0).expect_err("unknown").to_string();
        assert!(message.contains("the type number 99"), "{message}");
    }

    #[test]
    fn sizes_that_overflow_or_split_blocks_are_corrupt() {
        assert!(
            info(&[u64::MAX, u64::MAX], 0, 0)
                .expect_err("huge")
                .to_string()
                .contains("larger than any file")
        );
        assert!(
            info(&[33], 8, 0)
                .expect_err("split block")
                .to_string()
                .contains("not whole blocks")
        );
        assert!(
            info(&[1; 5], 0, 0)
                .expect_err("rank 5")
                .to_string()
                .contains("5 dimensions")
        );
    }

    #[test]
    fn data_beyond_the_end_of_the_file_names_the_tensor() {
        let mut infos = info(&[32], 0, 64).expect("valid so far");
        let message = place(&mut infos, 100, 32, 256)
            .expect_err("192 + 128 > 256")
            .to_string();
        assert!(
            message.contains("the data of tensor t at byte 192 needs 128 bytes, and 64 remain"),
            "{message}"
        );
    }

    #[test]
    fn an_offset_off_the_alignment_is_corrupt() {
        let mut infos = info(&[32], 0, 7).expect("valid so far");
        assert!(
            place(&mut infos, 100, 32, 4096)
                .expect_err("misaligned")
                .to_string()
                .contains("tensor t")
        );
    }
}
