import Primitives

/// Blocks past the system's cache, `DirectReads.depth` reads at a time; rows are copied as their blocks arrive.
extension BlockReader {
  /// Blocks located before the first reads start, and more of them while these are on their way.
  private static let locatedBlocks = 256

  func fetch(_ request: inout Request, past reads: DirectReads) throws {
    let geometry = store.geometry
    let pages = geometry.pagesPerBlock * Geometry.pageBytes
    let most = DirectReads.bytesPerRead / pages
    var queued = 0
    var copied = 0
    beginLocating(request)
    while request.locatedRows < request.count || copied < request.blocks {
      while reads.hasRoom {
        if queued == request.blocks {
          if request.locatedRows == request.count { break }
          try locate(&request, through: queued + Self.locatedBlocks)
        }
        let address = addresses.base[queued]
        if address == 0 {
          try copyRows(request, block: queued, from: nil)
          queued += 1
          copied += 1
          continue
        }
        var blocks = 1
        while blocks < most, queued + blocks < request.blocks,
          addresses.base[queued + blocks] == address + UInt(blocks * pages)
        {
          blocks += 1
        }
        try reads.queue(
          offset: Int(address - store.mapBase) - Geometry.pageHeaderBytes, count: blocks * pages, tag: queued)
        queued += blocks
      }
      if copied == request.blocks { continue }
      try reads.finish { first, count, bytes in
        for index in 0..<count / pages {
          let start = index * pages + Geometry.pageHeaderBytes
          // Where this way gave less, the other one gives the rest, or tells the file's end and a bad disk from a whim of the system.
          let base =
            start + geometry.blockBytes <= bytes.count
            ? bytes.baseAddress.map { $0 + start } : try read(request, block: first + index)
          try copyRows(request, block: first + index, from: base)
          copied += 1
        }
      }
    }
    didLocate(request.blocks)
  }
}
