#include "daemon/fetch/catalogue.hpp"

#include "daemon/catalogue/reader.hpp"
#include "daemon/digest.hpp"
#include "daemon/fetch/documents.hpp"
#include "lib/catalogue_search.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace capsul::fetch {
namespace {

namespace fs = std::filesystem;

/// A document that a source wants.
struct Wanted {
    const ImageSource* source;
    CatalogueDocument document;
};

/// The same from one time to the next, so that what has not changed is not sent again.
Name id_of(const CatalogueDocument& document) {
    return Name::parse("d-" + sha256_hex(dump_json(encode(document))).substr(0, 40));
}

DocumentRequest request_for(const CatalogueDocument& document) {
    DocumentRequest request;
    request.id = id_of(document);
    request.url = document.url;
    request.max_bytes = Bytes(document.max_bytes);
    if (document.is_signed() && document.signature) {
        request.signature =
            DetachedSignature{*document.signature, HostPath::parse(document.keyring->to_string())};
    } else if (document.is_signed()) {
        request.clearsigned_by = HostPath::parse(document.keyring->to_string());
    }
    return request;
}

CatalogueStep problem(const Wanted& wanted, const FetchError& error) {
    CatalogueStep step;
    step.problems.push_back({wanted.source->name, error.message,
                             error.hint.empty() ? std::nullopt : std::optional(error.hint), error.code});
    return step;
}

/// Whether everything that is wanted is known by now: what could not be got may have led to more.
bool is_whole(const Catalogue& catalogue) {
    return std::ranges::none_of(catalogue.problems, is_silence);
}

/// Sources, document by document.
class Reading {
  public:
    Reading(const fs::path& folder, const CatalogueRequest& request) : folder_(folder), request_(request) {}

    Catalogue run() {
        Catalogue catalogue = empty_catalogue(request_.sources);
        std::vector<Wanted> round;
        for (const ImageSource& source : request_.sources) {
            want(round, source, documents_of(source, request_.architectures));
        }
        while (!round.empty()) {
            std::vector<Wanted> next;
            const auto outcomes = get(round);
            for (const Wanted& wanted : round) {
                CatalogueStep step = read(wanted, outcomes.at(id_of(wanted.document)));
                want(next, *wanted.source, std::exchange(step.documents, {}));
                add_step(catalogue, std::move(step));
            }
            round = std::move(next);
        }
        if (is_whole(catalogue)) {
            remove_unwanted();
        }
        catalogue.fetched = Timestamp::now();
        return catalogue;
    }

  private:
    static void want(std::vector<Wanted>& round, const ImageSource& source,
                     std::vector<CatalogueDocument> documents) {
        for (CatalogueDocument& document : documents) {
            round.push_back({&source, std::move(document)});
        }
    }

    /// Two sources may want the same: it is got once.
    std::map<Name, DocumentOutcome> get(const std::vector<Wanted>& round) {
        std::map<Name, DocumentRequest> requests;
        for (const Wanted& wanted : round) {
            const Name id = id_of(wanted.document);
            requests.try_emplace(id, request_for(wanted.document));
            wanted_.insert(id.to_string());
        }
        DocumentsRequest all{{}, request_.proxy, request_.patience};
        for (auto& [id, request] : requests) {
            all.documents.push_back(std::move(request));
        }
        std::map<Name, DocumentOutcome> outcomes;
        for (DocumentOutcome& outcome : fetch_documents(folder_, all)) {
            const Name id = outcome.id;
            outcomes.insert_or_assign(id, std::move(outcome));
        }
        return outcomes;
    }

    [[nodiscard]] CatalogueStep read(const Wanted& wanted, const DocumentOutcome& outcome) const {
        if (outcome.error) {
            return problem(wanted, *outcome.error);
        }
        const fs::path file = folder_ / fetched_documents_folder / outcome.id.to_string();
        return read_document(
            *wanted.source, request_.architectures,
            {wanted.document, read_file(file, wanted.document.max_bytes), outcome.file->last_modified});
    }

    /// Documents that were wanted once: of older versions, and of sources that are no longer configured.
    void remove_unwanted() const {
        for (const char* where : {served_documents_folder, fetched_documents_folder}) {
            std::error_code none;
            for (const auto& entry : fs::directory_iterator(folder_ / where, none)) {
                const std::string file = entry.path().filename().string();
                if (!wanted_.contains(file.substr(0, file.find('.')))) { // "ID.json", "ID.sig" …
                    fs::remove(entry.path(), none);
                }
            }
        }
    }

    const fs::path& folder_;
    const CatalogueRequest& request_;
    std::set<std::string> wanted_; ///< ids of documents, of all rounds
};

} // namespace

Catalogue fetch_catalogue(const fs::path& folder, const CatalogueRequest& request) {
    return Reading(folder, request).run();
}

} // namespace capsul::fetch
