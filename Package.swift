// swift-tools-version: 6.2
import PackageDescription

// The kernels and the checksums are compiled for AVX2, FMA and SSE4.2; the program checks the CPU
// once at start (`CPU.requireSupported`) and stops with a clear message elsewhere.
#if arch(x86_64)
  let kernelFlags = ["-Xcc", "-mavx2", "-Xcc", "-mfma"]
  let checksumFlags = ["-msse4.2"]
#else
  let kernelFlags: [String] = []
  let checksumFlags = ["-march=armv8-a+crc"]
#endif

let shared: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]
let kernels = shared + [.unsafeFlags(kernelFlags)]

// The readers that are fuzzed are a test, in which they read the files of the corpus; or a program, which needs libFuzzer
// (`tools/fuzz`).
let fuzzed: [Target.Dependency] = ["Primitives", "BatchStore", "Ingest", "Training"]
let fuzzing: Target =
  Context.environment["CHANTER_FUZZ"] == nil
  ? .testTarget(
    name: "FuzzTests", dependencies: fuzzed, exclude: ["Corpus", "LibFuzzer.swift"], swiftSettings: shared)
  : .executableTarget(
    name: "ChanterFuzz", dependencies: fuzzed, path: "Tests/FuzzTests",
    exclude: ["Corpus", "CorpusTests.swift"],
    swiftSettings: shared + [.unsafeFlags(["-parse-as-library"])])

let package = Package(
  name: "chanter",
  products: [.executable(name: "chanter", targets: ["chanter"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
    .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .target(
      name: "CSupport", cSettings: [.unsafeFlags(checksumFlags)], linkerSettings: [.linkedLibrary("uring")]),

    .target(name: "Primitives", dependencies: ["CSupport", "CXXHash"], swiftSettings: shared),
    .target(name: "Metrics", dependencies: ["Primitives"], swiftSettings: shared),
    .target(
      name: "BatchStore", dependencies: ["Primitives", "CSupport", "CLZ4"], exclude: ["Format.md"],
      swiftSettings: kernels),
    .target(
      name: "Ingest", dependencies: ["Primitives", "Metrics", "BatchStore", "CZlib", "CZstd", "Yams"],
      // The files of data/schemas.
      resources: ["adult", "avazu", "criteo-kaggle", "criteo-terabyte", "movielens-100k"].map {
        .embedInCode("Presets/\($0).yaml")
      },
      swiftSettings: shared),
    .target(
      name: "TableStore", dependencies: ["Primitives", "CLMDB", "CSupport"], exclude: ["Format.md"],
      swiftSettings: shared
    ),
    .target(name: "Lookahead", dependencies: ["Primitives"], swiftSettings: shared),
    .target(
      name: "RowCache", dependencies: ["Primitives", "Lookahead", "TableStore"], swiftSettings: shared),
    .target(name: "Models", dependencies: ["Primitives", "COpenBLAS"], swiftSettings: kernels),
    .target(
      name: "Training",
      dependencies: [
        "Primitives", "Metrics", "BatchStore", "TableStore", "Lookahead", "RowCache", "Models", "Yams",
      ],
      swiftSettings: shared),
    .executableTarget(
      name: "chanter",
      dependencies: [
        "Primitives", "Metrics", "BatchStore", "Ingest", "Lookahead", "TableStore", "Training",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: shared),

    .executableTarget(
      name: "ChanterBench",
      dependencies: [
        "Primitives", "BatchStore", "TableStore", "Models", "Training", "COpenBLAS",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: shared),

    .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: shared),
    .testTarget(
      name: "PrimitivesTests", dependencies: ["Primitives", "TestSupport"], swiftSettings: shared),
    .testTarget(name: "MetricsTests", dependencies: ["Primitives", "Metrics"], swiftSettings: shared),
    .testTarget(
      name: "BatchStoreTests", dependencies: ["Primitives", "BatchStore", "TestSupport"],
      exclude: ["Golden"], swiftSettings: shared),
    .testTarget(
      name: "IngestTests",
      dependencies: ["Primitives", "BatchStore", "Ingest", "TestSupport", "CZlib", "CZstd"],
      swiftSettings: shared),
    .testTarget(
      name: "TableStoreTests", dependencies: ["Primitives", "TableStore", "TestSupport", "CLMDB"],
      exclude: ["Golden"], swiftSettings: shared),
    .testTarget(
      name: "TrainingTests",
      dependencies: [
        "Primitives", "BatchStore", "Lookahead", "TableStore", "Models", "Training", "TestSupport",
      ],
      swiftSettings: shared),
    .testTarget(
      name: "CommandTests",
      dependencies: ["Primitives", "Metrics", "TestSupport", "chanter", "ChanterBench"],
      swiftSettings: shared),
    .testTarget(name: "LookaheadTests", dependencies: ["Primitives", "Lookahead"], swiftSettings: shared),
    .testTarget(
      name: "ModelsTests", dependencies: ["Primitives", "Models", "TestSupport"],
      resources: [.copy("Fixtures")], swiftSettings: kernels),
    fuzzing,
  ]
)

// Instrumented builds have the tests that run in them, and nothing else that takes time (`tools/test`).
if let tests = Context.environment["CHANTER_TESTS"]?.split(separator: "|").map(String.init) {
  package.targets.removeAll { $0.type == .test && !tests.contains($0.name) }
}
