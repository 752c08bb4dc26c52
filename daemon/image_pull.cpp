#include "daemon/image_pull.hpp"

#include "daemon/digest.hpp"
#include "lib/catalogue_search.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <tuple>

namespace capsul {
namespace {

bool is_url(std::string_view text) {
    return text.find("://") != std::string_view::npos;
}

/// The same for whoever wants the same file: their downloads are one.
Name fetch_id(const Url& url, const std::optional<Checksum>& checksum) {
    const std::string about = url.to_string() + " " + (checksum ? checksum->to_string() : "");
    return Name::parse("disk-" + sha256_hex(about).substr(0, 32));
}

/// Few, since each takes a thread for as long as a download lasts: others wait for their turn.
std::string queue_of(const std::string& what) {
    constexpr std::size_t queues = 24;
    return fmt::format("pull/{}", std::hash<std::string>{}(what) % queues);
}

void take_checksum(DiskRequest& request, const Checksum& checksum) {
    if (checksum.algorithm() == Checksum::Algorithm::sha256) {
        request.sha256 = Sha256::parse(checksum.hex());
    } else {
        request.sha512 = Sha512::parse(checksum.hex());
    }
}

/// What is said of a file that its own signature vouches for, or its checksum, which may be signed.
Verification verified(const CatalogueEntry& entry, const FetchedFile& file) {
    if (file.verified == Verification::checksum) {
        return std::max(entry.verification, Verification::checksum);
    }
    return file.verified;
}

void require(Verification wanted, Verification offered, const std::string& what) {
    if (offered < wanted) {
        throw Error(ErrorCode::verification,
                    fmt::format("{}: can be verified by {} at best, not by {}", what, to_string(offered),
                                to_string(wanted)),
                    "--verify says what is enough");
    }
}

void require_some(const CatalogueEntry& entry) {
    if (entry.verification == Verification::none) {
        throw Error(ErrorCode::verification,
                    fmt::format("{}: its source has neither a signature nor a checksum for it",
                                entry.name.to_string()),
                    "--verify none takes it all the same");
    }
}

/// What is enough for an entry. Throws Error when its source does not have as much.
Verification least_for(const CatalogueEntry& entry, std::optional<Verification> wanted) {
    if (!wanted) {
        require_some(entry);
    }
    const Verification least = wanted.value_or(Verification::checksum);
    require(least, entry.verification, entry.name.to_string());
    return least;
}

/// The image that a file of a URL becomes, when nobody says: its name without what tells the format.
Name name_of(const Url& url) {
    std::string stem(url.file_name());
    for (const std::string_view ending :
         {".xz", ".zst", ".gz", ".bz2", ".tar", ".qcow2", ".img", ".raw", ".vmdk", ".ova"}) {
        if (stem.ends_with(ending)) {
            stem.resize(stem.size() - ending.size());
        }
    }
    try {
        return catalogue_name(stem);
    } catch (const Error&) {
        throw Error(ErrorCode::invalid, fmt::format("no name for an image can be made of '{}'", stem),
                    "--as NAME says what to call it");
    }
}

ImageVersion version_of(const FetchedFile& file) {
    return ImageVersion::of_day(file.last_modified.value_or(Timestamp::now()));
}

void check_url_pull(const ImagePull& call) {
    if (Url::parse(call.image).is_file()) {
        throw Error(ErrorCode::invalid, "a file of this host is not downloaded",
                    "`capsulctl image import NAME FILE` makes an image of one");
    }
    if (!call.checksum && !call.unverified) {
        throw Error(ErrorCode::invalid, "a download by URL has nothing to verify it by",
                    "give --sha256 or --sha512, as the publisher tells it; without: --insecure-no-checksum");
    }
    require(call.verification.value_or(Verification::none),
            call.checksum ? Verification::checksum : Verification::none, "a download by URL");
}

void check_entry_pull(const ImagePull& call) {
    if (call.checksum || call.unverified) {
        throw Error(ErrorCode::invalid, "a checksum goes with a URL: the catalogue has its own");
    }
}

/// The image of an alias, and where it is from. Throws Error.
ImageRecord updatable(Store& store, const Name& alias) {
    const auto stored = store.aliases.find(alias);
    if (!stored) {
        throw store.images.exists(alias)
            ? Error(ErrorCode::wrong_state, fmt::format("image {}: is no alias", alias.to_string()),
                    "only an alias can be moved to a newer image: `capsulctl image list`")
            : Error(ErrorCode::not_found, fmt::format("image {}: does not exist", alias.to_string()),
                    "`capsulctl image list` shows those there are");
    }
    const ImageRecord image = store.images.load(store.aliases.load(alias).image);
    if (!image.origin || !image.origin->source || !image.origin->entry) {
        throw Error(ErrorCode::wrong_state,
                    fmt::format("image {}: {} is not from a source of the catalogue", alias.to_string(),
                                image.name.to_string()),
                    "`capsulctl image pull` gets one that is");
    }
    return image;
}

/// Whether the file that an image was made of had that checksum as it was served. Nothing where that is not
/// known: older records tell of its SHA-256 only.
std::optional<bool> is_made_of(const ImageRecord& image, const Checksum& checksum) {
    if (checksum.algorithm() == Checksum::Algorithm::sha256) {
        return image.digest.hex() == checksum.hex();
    }
    return image.origin && image.origin->sha512 ? std::optional(image.origin->sha512 == checksum.hex())
                                                : std::nullopt;
}

/// Whether nothing speaks against it that the image is what the entry says.
bool is_content_of(const CatalogueEntry& entry, const ImageRecord& image) {
    return !entry.checksum || is_made_of(image, *entry.checksum).value_or(true);
}

/// Throws Error (exists) when an image of that name is of another file: before that is downloaded in vain.
void require_no_other(Store& store, const Name& name, const std::optional<Checksum>& checksum) {
    const auto stored = store.images.find(name);
    if (checksum && stored && stored->record && is_made_of(*stored->record, *checksum) == false) {
        throw has_other_content(name);
    }
}

/// Whether both are downloaded from the same place, and have to be the same file.
bool is_same_file(const CatalogueEntry& a, const CatalogueEntry& b) {
    const auto what = [](const CatalogueEntry& entry) {
        return std::tie(entry.url, entry.version, entry.size, entry.checksum);
    };
    return what(a) == what(b);
}

/// Whether the file would be refused the next time too.
bool is_about_content(ErrorCode code) {
    return code == ErrorCode::invalid || code == ErrorCode::too_large || code == ErrorCode::verification;
}

/// Throws Error when the source could not be asked.
void require_answer(const Catalogue& catalogue, const Name& source) {
    for (const SourceProblem& problem : catalogue.problems) {
        if (problem.source == source && is_silence(problem)) {
            throw Error(error_code_from(problem.code),
                        fmt::format("source {}: {}", source.to_string(), problem.message),
                        problem.hint.value_or(""));
        }
    }
}

} // namespace

Operation ImagePullService::search(const ImageSearch& call) {
    return operations_.submit("image.search", call.word, "", [this, call](Progress& progress) {
        Catalogue found =
            catalogue_.get(call.refresh ? std::chrono::seconds(0) : ImageCatalogue::fresh, progress);
        found.entries = capsul::search(found, call.word);
        return encode(found);
    });
}

Operation ImagePullService::pull(const ImagePull& call) {
    if (is_url(call.image)) {
        check_url_pull(call);
        const Url url = Url::parse(call.image);
        return operations_.submit(
            "image.pull", url.without_query().to_string(), queue_of(fetch_id(url, call.checksum).to_string()),
            [this, call](Progress& progress) { return encode(pull_url(call, progress)); });
    }
    check_entry_pull(call);
    return operations_.submit("image.pull", call.image, queue_of(call.image),
                              [this, call](Progress& progress) { return encode(run_pull(call, progress)); });
}

Operation ImagePullService::update(const ImageUpdate& call) {
    static_cast<void>(updatable(store_, call.name)); // what is wrong is told at once
    return operations_.submit(
        "image.update", call.name.to_string(), queue_of(call.name.to_string()),
        [this, call](Progress& progress) { return encode(run_update(call.name, progress)); });
}

DiskRequest ImagePullService::request_for(const CatalogueEntry& entry) const {
    DiskRequest request;
    request.url = entry.url;
    request.size = entry.size;
    request.max_size = config_.max_size;
    if (entry.checksum) {
        take_checksum(request, *entry.checksum);
    }
    if (entry.signature && entry.verification == Verification::signature) {
        const auto keyring = catalogue_.keyring(entry.source);
        if (!keyring) {
            throw Error(ErrorCode::verification,
                        fmt::format("{}: the keyring of its source {} is no longer there",
                                    entry.name.to_string(), entry.source.to_string()),
                        "`capsulctl image search --refresh` tells what can be verified without it");
        }
        request.signature = DetachedSignature{*entry.signature, HostPath::parse(keyring->to_string())};
    }
    return request;
}

Image ImagePullService::run_pull(const ImagePull& call, Progress& progress) {
    const FoundEntry found = catalogue_.find(call.image, progress);
    static_cast<void>(least_for(found.entry, call.verification)); // is told at once, and not asked about
    const auto pull = [&](const CatalogueEntry& entry) {
        return pull_entry(entry, call.as.value_or(entry.name), call.verification, progress);
    };
    try {
        return pull(found.entry);
    } catch (const Error& error) {
        if (found.is_new || error.code() != ErrorCode::verification) {
            throw;
        }
        // Publishers put a new file in the place of an old one: what is known may be of that.
        const auto now = replacement(found.entry, call.image, progress);
        if (!now) {
            throw;
        }
        return pull(*now);
    }
}

std::optional<CatalogueEntry> ImagePullService::replacement(const CatalogueEntry& before,
                                                            const std::string& word,
                                                            Progress& progress) const {
    try {
        const Catalogue catalogue = catalogue_.get(std::chrono::seconds(0), progress);
        const CatalogueEntry& now = find_entry(catalogue, word, host_architecture());
        return is_same_file(now, before) ? std::nullopt : std::optional(now);
    } catch (const Error&) {
        return std::nullopt; // what is told is why `before` was refused
    }
}

Image ImagePullService::pull_entry(const CatalogueEntry& entry, const Name& alias,
                                   std::optional<Verification> wanted, Progress& progress) {
    const Verification least = least_for(entry, wanted);
    const Name name = dated_name(entry);
    images_.require_free(name, alias);
    const Name fetch = fetch_id(entry.url, entry.checksum);
    const Turns::Turn turn = turns_.take(fetch.to_string());
    if (has(name, entry, least)) {
        return images_.point(alias, name);
    }
    require_no_other(store_, name, entry.checksum);
    const FetchedFile file = fetcher_.disk(fetch, request_for(entry), progress);
    require(least, verified(entry, file), entry.name.to_string());
    ImageOrigin origin{entry.url.without_query().to_string(), entry.source, entry.version,
                       verified(entry, file), entry.name};
    return make(fetch, file, name, std::move(origin), alias, progress);
}

bool ImagePullService::has(const Name& name, const CatalogueEntry& entry, Verification least) {
    if (!store_.images.exists(name)) {
        return false;
    }
    try {
        const ImageRecord record = images_.usable(name);
        return record.origin && record.origin->source == entry.source &&
               record.origin->version == entry.version && record.origin->verified >= least &&
               is_content_of(entry, record);
    } catch (const Error&) {
        return false; // broken: what is downloaded mends it
    }
}

/// Whether the image is there whose file has that checksum.
bool ImagePullService::has(const Name& name, const std::optional<Checksum>& checksum) {
    if (!checksum || !store_.images.exists(name)) {
        return false;
    }
    try {
        return is_made_of(images_.usable(name), *checksum).value_or(false);
    } catch (const Error&) {
        return false; // broken: what is downloaded mends it
    }
}

Image ImagePullService::pull_url(const ImagePull& call, Progress& progress) {
    const Url url = Url::parse(call.image);
    const Name name = call.as ? *call.as : name_of(url);
    images_.require_free(name, {});
    const Name fetch = fetch_id(url, call.checksum);
    const Turns::Turn turn = turns_.take(fetch.to_string());
    if (has(name, call.checksum)) {
        return images_.show(name);
    }
    require_no_other(store_, name, call.checksum);
    DiskRequest request;
    request.url = url;
    request.max_size = config_.max_size;
    if (call.checksum) {
        take_checksum(request, *call.checksum);
    }
    const FetchedFile file = fetcher_.disk(fetch, request, progress);
    return make(fetch, file, name, {url.without_query().to_string(), {}, version_of(file), file.verified, {}},
                {}, progress);
}

Image ImagePullService::make(const Name& fetch, const FetchedFile& file, const Name& name, ImageOrigin origin,
                             std::optional<Name> alias, Progress& progress) {
    const fs::path disk =
        fetcher_.folder(fetch) / "disk.claimed"; // the other name stays until it is an image
    fs::remove(disk);
    fs::create_hard_link(fetcher_.folder(fetch) / fetched_disk_file, disk);
    origin.sha512 = file.sha512;
    try {
        Image image = images_.make({.name = name,
                                    .disk = {TemporaryFile(disk), Digest::parse("sha256:" + file.sha256)},
                                    .kernel = {},
                                    .initrd = {},
                                    .cmdline = {},
                                    .origin = std::move(origin),
                                    .published = {},
                                    .alias = std::move(alias)},
                                   progress);
        fetcher_.forget(fetch);
        return image;
    } catch (const Error& error) {
        if (is_about_content(error.code()) || error.code() == ErrorCode::exists) { // it cannot be kept
            fetcher_.forget(fetch);
        }
        throw;
    }
}

ImageUpdated ImagePullService::run_update(const Name& alias, Progress& progress) {
    const ImageRecord before = updatable(store_, alias);
    const Catalogue catalogue = catalogue_.get(std::chrono::seconds(0), progress);
    require_answer(catalogue, *before.origin->source);
    const CatalogueEntry* const found = find_successor(catalogue, *before.origin, host_architecture());
    if (found == nullptr) {
        throw Error(ErrorCode::not_found,
                    fmt::format("image {}: its source {} no longer has {}", alias.to_string(),
                                before.origin->source->to_string(), before.origin->entry->to_string()),
                    "`capsulctl image search` shows what there is");
    }
    if (found->version <= before.origin->version) {
        return {alias, before.name, images_.show(before.name)};
    }
    return {alias, before.name, pull_entry(*found, alias, before.origin->verified, progress)};
}

} // namespace capsul
