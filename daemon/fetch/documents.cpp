#include "daemon/fetch/documents.hpp"

#include "daemon/fetch/download.hpp"
#include "daemon/fetch/part_file.hpp"
#include "daemon/fetch/retries.hpp"
#include "daemon/fetch/signature.hpp"
#include "daemon/fetch/small_file.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <atomic>
#include <fmt/format.h>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

namespace capsul::fetch {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t at_once = 8;
/// One document may take as long, each time it is tried.
constexpr std::chrono::minutes longest{2};
/// Of one: it is read into memory.
constexpr Bytes largest(std::uint64_t{64} << 20U);

/// The way of one document into the folder.
class DocumentFetch {
  public:
    DocumentFetch(const fs::path& folder, const DocumentRequest& request, const SmallFetch& how)
        : request_(request), how_(how), folder_(folder),
          served_(folder / served_documents_folder / request.id.to_string()),
          text_(folder / fetched_documents_folder / request.id.to_string()) {}

    /// Throws nothing: what is wrong is told by the outcome.
    DocumentOutcome run() {
        DocumentOutcome outcome;
        outcome.id = request_.id;
        try {
            get(outcome);
        } catch (const Error& error) {
            if (error.code() == ErrorCode::verification) {
                forget();
            }
            outcome.file.reset();
            outcome.error = FetchError::of(error);
        } catch (const std::exception& error) {
            outcome.file.reset();
            outcome.error = FetchError::of(Error(ErrorCode::internal, error.what()));
        }
        return outcome;
    }

  private:
    void get(DocumentOutcome& outcome) {
        const SmallFile found = fetch_small(request_.url, served_, request_.max_bytes, how_);
        outcome.unchanged = found.unchanged;
        take(found, outcome.file.emplace());
    }

    void take(const SmallFile& served, FetchedFile& file) {
        file.url = served.remote.location.to_string();
        FileHash hash;
        hash.add(served.content);
        file.sha256 = hash.sha256.finish();
        file.sha512 = hash.sha512.finish();
        file.size = served.content.size();
        file.etag = served.remote.etag;
        file.last_modified = served.remote.modified;
        file.fetched = served.fetched;
        if (request_.signature) {
            check_detached(file, served.content);
        } else if (request_.clearsigned_by) {
            check_clearsigned(file);
        } else {
            put(served.content);
        }
    }

    /// Each time, also when nothing has changed: keys expire, and keyrings are replaced.
    void check_detached(FetchedFile& file, const std::string& content) {
        file.fetched += fetch_signature(request_.signature->url, signature_file(), how_);
        file.signer = Keyring(request_.signature->keyring.path(), folder_)
                          .check_detached(signature_file(), served_, shown(request_.url));
        file.verified = Verification::signature;
        put(content);
    }

    void check_clearsigned(FetchedFile& file) {
        const fs::path text = served_.string() + ".text";
        file.signer = Keyring(request_.clearsigned_by->path(), folder_)
                          .check_clearsigned(served_, text, shown(request_.url));
        file.verified = Verification::signature;
        put(read_file(text, request_.max_bytes.count()));
        std::error_code gone;
        fs::remove(text, gone);
    }

    void put(const std::string& content) const { replace_file(text_, content); }

    [[nodiscard]] fs::path signature_file() const { return served_.string() + ".sig"; }

    void forget() const {
        std::error_code gone;
        fs::remove(text_, gone);
        fs::remove(served_.string() + ".text", gone);
        forget_small(served_);
        forget_small(signature_file());
    }

    const DocumentRequest& request_;
    const SmallFetch& how_;
    fs::path folder_;
    fs::path served_; ///< as the server sends it
    fs::path text_;   ///< what is verified of it
};

void check_document(const DocumentRequest& document, std::set<Name>& ids) {
    const std::string id = document.id.to_string();
    if (!ids.insert(document.id).second) {
        throw Error(ErrorCode::invalid, fmt::format("documents: the id {} stands twice", id));
    }
    if (document.max_bytes > largest || document.max_bytes.count() == 0) {
        throw Error(ErrorCode::invalid, fmt::format("documents: max_bytes of {} is not between 1 and {}", id,
                                                    largest.to_string()));
    }
    if (document.signature && document.clearsigned_by) {
        throw Error(ErrorCode::invalid,
                    fmt::format("documents: {} is signed beside it or within, and not both", id));
    }
}

void check_request(const DocumentsRequest& request) {
    check_patience(request.patience);
    std::set<Name> ids;
    for (const DocumentRequest& document : request.documents) {
        check_document(document, ids);
    }
}

} // namespace

std::vector<DocumentOutcome> fetch_documents(const fs::path& folder, const DocumentsRequest& request) {
    check_request(request);
    make_folders(folder / fetched_documents_folder);
    make_folders(folder / served_documents_folder);
    Progress progress(folder);
    SmallFetch how{transfer_limits(request.proxy, request.patience), request.patience, progress};
    how.limits.longest = longest;
    std::vector<DocumentOutcome> outcomes(request.documents.size());
    std::atomic<std::size_t> next{0};
    std::atomic<std::size_t> done{0};
    const auto work = [&] {
        for (std::size_t i = next++; i < request.documents.size(); i = next++) {
            outcomes[i] = DocumentFetch(folder, request.documents[i], how).run();
            progress.tell(FetchPhase::reading, ++done, request.documents.size());
        }
    };
    {
        std::vector<std::jthread> workers; // ends when all have
        for (std::size_t i = 0; i < std::min(at_once, request.documents.size()); ++i) {
            workers.emplace_back(work);
        }
    }
    return outcomes;
}

} // namespace capsul::fetch
