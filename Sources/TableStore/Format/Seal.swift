import Primitives

/// The 8 bytes at the start of every stored value: CRC32C, format version, reserved.
///
/// The checksum covers the place where the value belongs and every byte after the checksum, so that a value that
/// lies in the wrong place is found like one with a wrong byte.
enum Seal {
  static let byteCount = 8
  /// Do not renumber: 3 is the format of Format.md; in 2 the dense record was one value of `meta`, and in 1 the header had
  /// one bound of initial weights for all tables too.
  static let version: UInt16 = 3

  /// What a value's place is made of, apart from its number. Do not renumber: part of every checksum.
  enum Place {
    case block(UInt64)
    case chunk(UInt64)
    case record(UInt64)
    case densePart(UInt64)

    var bytes: (UInt64, UInt64) {
      switch self {
      case .block(let key): (0, key)
      case .chunk(let key): (1, key)
      case .record(let number): (2, number)
      case .densePart(let number): (3, number)
      }
    }
  }

  enum Verdict { case intact, damaged, newer(UInt16) }

  /// Writes the header of a value whose other bytes are all written.
  static func close(_ value: UnsafeMutableRawBufferPointer, _ place: Place) {
    value.storeBytes(of: version.littleEndian, toByteOffset: 4, as: UInt16.self)
    value.storeBytes(of: 0, toByteOffset: 6, as: UInt16.self)
    let checksum = checksum(UnsafeRawBufferPointer(value), place)
    value.storeBytes(of: checksum.littleEndian, as: UInt32.self)
  }

  static func verify(_ value: UnsafeRawBufferPointer, _ place: Place) -> Verdict {
    guard value.count >= byteCount else { return .damaged }
    let stored = UInt32(littleEndian: value.loadUnaligned(as: UInt32.self))
    guard checksum(value, place) == stored else { return .damaged }
    let found = UInt16(littleEndian: value.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    return found == version ? .intact : .newer(found)
  }

  private static func checksum(_ value: UnsafeRawBufferPointer, _ place: Place) -> UInt32 {
    var place = (place.bytes.0.littleEndian, place.bytes.1.littleEndian)
    let seed = withUnsafeBytes(of: &place) { CRC32C.checksum($0) }
    return CRC32C.checksum(UnsafeRawBufferPointer(rebasing: value[4...]), seed: seed)
  }

  static func newer(_ found: UInt16, _ what: String, path: String) -> ChanterError {
    ChanterError(
      .unsupported,
      "\(what) has format version \(found), and this program reads version \(version):"
        + " use the version that made the model", path: path)
  }
}
