/// A schema of a well-known log; the file of this name in data/schemas.
public struct SchemaPreset: Sendable {
  public let name: String
  /// As it stands in the file, with where to get the log.
  public let text: String

  public static let all = [
    SchemaPreset("criteo-kaggle", PackageResources.criteo_kaggle_yaml),
    SchemaPreset("criteo-terabyte", PackageResources.criteo_terabyte_yaml),
    SchemaPreset("avazu", PackageResources.avazu_yaml),
    SchemaPreset("adult", PackageResources.adult_yaml),
    SchemaPreset("movielens-100k", PackageResources.movielens_100k_yaml),
  ]

  private init(_ name: String, _ bytes: [UInt8]) {
    self.name = name
    text = String(decoding: bytes, as: UTF8.self)
  }

  /// What the first line of the file says.
  public var title: String {
    String(text.prefix { $0 != "\n" }.drop { $0 == "#" || $0 == " " })
  }
}
