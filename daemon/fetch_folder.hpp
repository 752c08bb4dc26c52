// What capsuld and capsul-fetch hand each other: files of JSON in the folder of one download. capsuld writes
// request.json and starts the unit; all else is capsul-fetch's, which writes result.json last.
#pragma once

#include "daemon/catalogue/source.hpp"
#include "lib/catalogue.hpp"
#include "lib/image_origin.hpp"
#include "lib/name.hpp"
#include "lib/size.hpp"
#include "lib/url.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace capsul {

inline constexpr const char* fetch_request_file = "request.json";
inline constexpr const char* fetch_result_file = "result.json";
inline constexpr const char* fetch_progress_file = "progress.json";
inline constexpr const char* fetched_disk_file = "disk";
/// Each document by its id, after its signature was verified.
inline constexpr const char* fetched_documents_folder = "documents";

/// More than the longest of these files, but for a catalogue.
inline constexpr std::size_t most_fetch_bytes = std::size_t{4} << 20U;
/// More than the longest catalogue.
inline constexpr std::size_t most_catalogue_bytes = std::size_t{64} << 20U;

/// A digest in lower-case hexadecimal; published ones in upper case are taken too.
template <std::size_t digits>
class HexDigest {
  public:
    HexDigest() = default;
    [[nodiscard]] static HexDigest parse(std::string_view text) {
        HexDigest digest;
        digest.text_ = text;
        std::ranges::transform(digest.text_, digest.text_.begin(),
                               [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
        if (text.size() != digits ||
            digest.text_.find_first_not_of("0123456789abcdef") != std::string::npos) {
            throw Error(ErrorCode::invalid,
                        "not a digest of " + std::to_string(digits) + " hexadecimal digits");
        }
        return digest;
    }
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }

  private:
    std::string text_;
};
using Sha256 = HexDigest<64>;
using Sha512 = HexDigest<128>;

/// An absolute path on this host.
class HostPath {
  public:
    HostPath() = default;
    [[nodiscard]] static HostPath parse(std::string_view text) {
        HostPath path;
        path.path_ = text;
        if (!path.path_.is_absolute()) {
            throw Error(ErrorCode::invalid, "not an absolute path");
        }
        return path;
    }
    [[nodiscard]] std::string to_string() const { return path_.string(); }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  private:
    std::filesystem::path path_;
};

/// How long what may pass (a server that is not reached, or says that it is busy) is waited for.
struct FetchPatience {
    int tries = 6;                                       ///< in a row that bring nothing new, from 1 to 100
    Duration first_wait{std::chrono::milliseconds(500)}; ///< after which each is twice as long
    Duration longest_wait{std::chrono::minutes(1)};
    Duration stall{
        std::chrono::seconds(30)}; ///< of a connection that brings next to nothing: a second or more

    static constexpr auto fields() {
        return field_list(
            optional("tries", &FetchPatience::tries), optional("first_wait", &FetchPatience::first_wait),
            optional("longest_wait", &FetchPatience::longest_wait), optional("stall", &FetchPatience::stall));
    }
};

/// A signature that is a file of its own, and whose keys it may be by. The keyring may be armored.
struct DetachedSignature {
    Url url;
    HostPath keyring;

    static constexpr auto fields() {
        return field_list(required("url", &DetachedSignature::url),
                          required("keyring", &DetachedSignature::keyring));
    }
};

/// Of `capsul-fetch disk`. All that is given of sha256, sha512, size and signature has to be right.
struct DiskRequest {
    Url url;
    std::optional<Sha256> sha256; ///< of the file as it is served
    std::optional<Sha512> sha512;
    std::optional<std::uint64_t> size;
    std::optional<DetachedSignature> signature;          ///< over the file as it is served
    Bytes max_size;                                      ///< of the file, and of the disk that is in it
    std::uint64_t keep_free = std::uint64_t{256} << 20U; ///< bytes of the file system that others keep
    std::optional<std::string> proxy;                    ///< "" = none; absent: as the environment says
    FetchPatience patience;

    static constexpr auto fields() {
        return field_list(
            required("url", &DiskRequest::url), optional("sha256", &DiskRequest::sha256),
            optional("sha512", &DiskRequest::sha512), optional("size", &DiskRequest::size),
            optional("signature", &DiskRequest::signature), required("max_size", &DiskRequest::max_size),
            optional("keep_free", &DiskRequest::keep_free), optional("proxy", &DiskRequest::proxy),
            optional("patience", &DiskRequest::patience));
    }
};

/// Of `capsul-fetch catalogue`.
struct CatalogueRequest {
    std::vector<ImageSource> sources;
    std::vector<Architecture> architectures;
    std::optional<std::string> proxy; ///< "" = none; absent: as the environment says
    FetchPatience patience;

    static constexpr auto fields() {
        return field_list(required("sources", &CatalogueRequest::sources),
                          required("architectures", &CatalogueRequest::architectures),
                          optional("proxy", &CatalogueRequest::proxy),
                          optional("patience", &CatalogueRequest::patience));
    }
};

/// An Error in a file.
struct FetchError {
    std::string code; ///< see to_string(ErrorCode)
    std::string message;
    std::string hint;

    [[nodiscard]] static FetchError of(const Error& error) {
        return {std::string(to_string(error.code())), error.what(), error.hint()};
    }
    [[nodiscard]] Error error() const { return {error_code_from(code), message, hint}; }
    static constexpr auto fields() {
        return field_list(required("code", &FetchError::code), required("message", &FetchError::message),
                          required("hint", &FetchError::hint));
    }
};

/// A file that was downloaded.
struct FetchedFile {
    std::string url; ///< that it came from in the end
    std::string sha256;
    std::string sha512;
    std::uint64_t size = 0; ///< as it was served
    std::string etag;
    std::optional<Timestamp> last_modified;
    std::uint64_t fetched = 0; ///< bytes that were transferred in this run
    Verification verified = Verification::none;
    std::optional<std::string> signer; ///< fingerprint of the key of the signature

    static constexpr auto fields() {
        return field_list(
            required("url", &FetchedFile::url), required("sha256", &FetchedFile::sha256),
            required("sha512", &FetchedFile::sha512), required("size", &FetchedFile::size),
            required("etag", &FetchedFile::etag), optional("last_modified", &FetchedFile::last_modified),
            required("fetched", &FetchedFile::fetched), required("verified", &FetchedFile::verified),
            optional("signer", &FetchedFile::signer));
    }
};

/// result.json of `capsul-fetch disk`: either an error or a file, whose content is `disk`.
struct DiskResult {
    std::optional<FetchError> error;
    std::optional<FetchedFile> file;

    static constexpr auto fields() {
        return field_list(optional("error", &DiskResult::error), optional("file", &DiskResult::file));
    }
};

/// result.json of `capsul-fetch catalogue`: what is wrong with a source is in the catalogue.
struct CatalogueResult {
    std::optional<FetchError> error;
    Catalogue catalogue;

    static constexpr auto fields() {
        return field_list(optional("error", &CatalogueResult::error),
                          required("catalogue", &CatalogueResult::catalogue));
    }
};

enum class FetchPhase { hashing, downloading, waiting, verifying, reading };
template <>
struct EnumWords<FetchPhase> {
    static constexpr std::array<std::pair<FetchPhase, std::string_view>, 5> words{
        {{FetchPhase::hashing, "hashing"}, // what an earlier run has left
         {FetchPhase::downloading, "downloading"},
         {FetchPhase::waiting, "waiting"},
         {FetchPhase::verifying, "verifying"},
         {FetchPhase::reading, "reading"}}}; // what sources publish
};

/// progress.json: how far it is. Written twice a second at most, but for another phase, and gone at the end.
struct FetchProgress {
    FetchPhase phase = FetchPhase::downloading;
    std::uint64_t bytes = 0;            ///< or documents, while those are read
    std::optional<std::uint64_t> total; ///< of the same, where that is known
    int attempt = 1;                    ///< counts the tries in a row that brought nothing new
    std::string waits_for;              ///< why the last try ended; empty unless waiting

    static constexpr auto fields() {
        return field_list(required("phase", &FetchProgress::phase), required("bytes", &FetchProgress::bytes),
                          optional("total", &FetchProgress::total),
                          required("attempt", &FetchProgress::attempt),
                          required("waits_for", &FetchProgress::waits_for));
    }
};

} // namespace capsul
