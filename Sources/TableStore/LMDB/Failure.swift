import CLMDB
public import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

extension ChanterError.Kind {
  /// Another process trains this model.
  public static let locked = ChanterError.Kind("locked")
}

/// Throws what LMDB's return code means for the user, unless it is success.
///
/// - Parameters:
///   - attempt: what was tried, as in "put block 5 of table C3".
///   - path: the model directory.
@inline(__always)
func check(_ code: Int32, _ attempt: @autoclosure () -> String, path: String) throws {
  if code != 0 { throw failure(code, attempt: attempt(), path: path) }
}

func failure(_ code: Int32, attempt: String, path: String) -> ChanterError {
  let (kind, advice) = meaning(of: code)
  return ChanterError(kind, "cannot \(attempt): \(advice)", path: path)
}

private func meaning(of code: Int32) -> (ChanterError.Kind, String) {
  switch code {
  case MDB_MAP_FULL:
    return (.io, "the address space for the model is used up; raise the limit (ulimit -v) and run again")
  case ENOSPC, EDQUOT, EFBIG:
    return (
      .io,
      "no space left on the disk or in the quota; free some and run the same command again,"
        + " the last commit is intact"
    )
  case EIO:
    return (
      .io,
      "the disk gave an input/output error: it is full or failing;"
        + " free some space or repair it and run again, the last commit is intact"
    )
  case MDB_READERS_FULL:
    return (.io, "too many processes read this model at once; end some of them and run again")
  case EACCES, EPERM, EROFS:
    return (.io, "permission denied; the directory and its files must be readable and writable")
  case ENOENT, ENOTDIR:
    return (.io, "no such file or directory; give the directory that `chanter train --out` made")
  case EMFILE, ENFILE:
    return (.io, "too many open files; raise the limit (ulimit -n) or end other programs and run again")
  case ENOMEM: return (.io, "the system gave no memory or address space; raise the limit (ulimit -v)")
  case EAGAIN: return (.io, "another process holds its lock; wait for it and run again")
  case MDB_VERSION_MISMATCH:
    return (.unsupported, "the file was made by another version of LMDB; use the program that made it")
  case MDB_INVALID:
    return (.corrupt, "data.mdb is not a model, or its first pages are damaged; " + restoreAdvice)
  case MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_NOTFOUND, MDB_INCOMPATIBLE:
    return (.corrupt, "data.mdb is damaged (\(text(code))); " + restoreAdvice)
  case MDB_PANIC:
    return (.io, "an earlier write failed; run the same command again, the last commit is intact")
  case MDB_MAP_RESIZED:
    return (.io, "the model outgrew the address space reserved for it; raise the limit (ulimit -v)")
  // An error of the system that is none of those above: whatever it was, nothing half-written counts.
  case 1...: return (.io, "\(text(code)); run the same command again, the last commit is intact")
  default: return (.broken, text(code))
  }
}

private func text(_ code: Int32) -> String { String(cString: mdb_strerror(code)) }

/// What to do about damage, the same words everywhere.
let restoreAdvice = "run `chanter check` on the model for the extent, and restore it from a copy"
