// Small files that tell of images, such as indexes and checksums.
#pragma once

#include "daemon/fetch_folder.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace capsul::fetch {

/// Each document as its server sends it, and its signature, with what is known of them: ID, ID.json, ID.sig …
inline constexpr const char* served_documents_folder = "served";

struct DocumentRequest {
    Name id;
    Url url;
    Bytes max_bytes;                            ///< the longest that is taken
    std::optional<DetachedSignature> signature; ///< over the document
    std::optional<HostPath> clearsigned_by;     ///< the document is one with its signature, by this keyring
};

/// What became of one: an error, or a file.
struct DocumentOutcome {
    Name id;
    std::optional<FetchError> error;
    std::optional<FetchedFile> file; ///< whose (verified) text is documents/ID
    bool unchanged = false;          ///< since it was fetched last
};

struct DocumentsRequest {
    std::vector<DocumentRequest> documents;
    std::optional<std::string> proxy; ///< "" = none; absent: as the environment says
    FetchPatience patience;
};

/// Gets all, several at a time; one that fails is an outcome too. What is verified of each is then in
/// documents/ID of `folder`. Throws Error when the request is wrong.
[[nodiscard]] std::vector<DocumentOutcome> fetch_documents(const std::filesystem::path& folder,
                                                           const DocumentsRequest& request);

} // namespace capsul::fetch
