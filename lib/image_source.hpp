// [[image.source]] of capsuld.toml: where the catalogue comes from.
#pragma once

#include "lib/catalogue.hpp"
#include "lib/file_pattern.hpp"

#include <optional>
#include <string>
#include <vector>

namespace capsul {

enum class SourceKind { simplestreams, folder, index };
template <>
struct EnumWords<SourceKind> {
    static constexpr std::array<std::pair<SourceKind, std::string_view>, 3> words{
        {{SourceKind::simplestreams, "simplestreams"},
         {SourceKind::folder, "folder"},
         {SourceKind::index, "index"}}};
};

/// How a file is signed: "clearsigned", in itself (RFC 9580 7), or by a file beside it that is called the
/// same with ".asc", ".sig" … at its end.
class SignatureForm {
  public:
    SignatureForm() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static SignatureForm parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    [[nodiscard]] bool is_clearsigned() const { return text_ == clearsigned; }
    static constexpr std::string_view clearsigned = "clearsigned";
    auto operator<=>(const SignatureForm&) const = default;

  private:
    explicit SignatureForm(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

/// Public keys, in a file of the host: an absolute path.
class KeyringPath {
  public:
    KeyringPath() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static KeyringPath parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    auto operator<=>(const KeyringPath&) const = default;

  private:
    explicit KeyringPath(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

/// An image in a source of the kind folder.
struct FolderImage {
    Name name;
    std::vector<Name> aliases;
    std::string title;
    FilePattern file;
    SumsPath sums;
    std::optional<SignatureForm> signature;       ///< of the checksums
    std::optional<SignatureForm> image_signature; ///< of the image itself, detached
    std::vector<Architecture> architectures;      ///< that there is one for; empty: any

    static constexpr auto fields() {
        return field_list(required("name", &FolderImage::name), optional("aliases", &FolderImage::aliases),
                          optional("title", &FolderImage::title), required("file", &FolderImage::file),
                          required("sums", &FolderImage::sums),
                          optional("signature", &FolderImage::signature),
                          optional("image_signature", &FolderImage::image_signature),
                          optional("architectures", &FolderImage::architectures));
    }
};

/// A source as it is written: one with the name of a built-in source changes what it names of that.
struct ImageSourceConfig {
    Name name;
    std::optional<bool> enabled;
    std::optional<SourceKind> kind;
    std::optional<Url> url;
    std::optional<KeyringPath> keyring;
    std::optional<SignatureForm> signature; ///< of an index
    std::vector<FolderImage> image;

    static constexpr auto fields() {
        return field_list(
            required("name", &ImageSourceConfig::name), optional("enabled", &ImageSourceConfig::enabled),
            optional("kind", &ImageSourceConfig::kind), optional("url", &ImageSourceConfig::url),
            optional("keyring", &ImageSourceConfig::keyring),
            optional("signature", &ImageSourceConfig::signature),
            optional("image", &ImageSourceConfig::image));
    }
};

} // namespace capsul
