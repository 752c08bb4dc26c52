#include "daemon/catalogue/simplestreams.hpp"

#include "daemon/catalogue/clearsigned.hpp"
#include "lib/error.hpp"
#include "lib/one_line.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::uint64_t largest_streams_index = std::uint64_t{4} << 20U;
constexpr std::uint64_t largest_products = std::uint64_t{64} << 20U;
constexpr std::size_t most_keys = 4096; // of products, and of versions of one
constexpr std::size_t most_lists = 8;
constexpr std::size_t most_disks = 50'000; // in all versions: what is kept of a list stays small
constexpr int deepest_products = 12;
constexpr std::string_view index_id = "index";

// The kinds of files that are a disk with all that is needed to start it, the best first.
constexpr std::array<std::string_view, 5> disk_types{"disk1.img", "disk-kvm.img", "disk.qcow2", "qcow2",
                                                     "uefi1.img"};

// How deep in a list of products the keys of something are.
constexpr int document_depth = 1;
constexpr int product_depth = 3;
constexpr int version_depth = 5;
constexpr int item_depth = 7;

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, word) != words.end();
}

/// A text in an object; empty when there is none.
std::string text_in(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// An object in an object; an empty one when there is none.
const Json& object_in(const Json& object, const char* key) {
    static const Json none = Json::object();
    const auto found = object.is_object() ? object.find(key) : object.end();
    return object.is_object() && found != object.end() && found->is_object() ? *found : none;
}

void check_format(const Json& json, std::string_view wanted) {
    if (!json.is_object() || text_in(json, "format") != wanted) {
        throw Error(ErrorCode::invalid, fmt::format("it is not of the format {}", wanted));
    }
}

// ------------------------------------------------------------------------------------------------------ the
// index

Json parse_index(std::string_view text) {
    JsonFilter filter;
    filter.max_depth = deepest_products;
    filter.wants_key = [](int depth, std::string_view key) {
        return depth == 2 || is_one_of(key, {"format", "index", "datatype", "path"});
    };
    return parse_json(text, filter);
}

/// What is told to be in a signed index under a name of the unsigned list is in a signed list too.
std::string signed_path(std::string path) {
    constexpr std::string_view plain = ".json";
    return path.ends_with(plain) ? path.substr(0, path.size() - plain.size()) + ".sjson" : path;
}

CatalogueDocument products_document(const ImageSource& source, const std::string& path, std::size_t number) {
    CatalogueDocument document;
    document.id = Name::parse(fmt::format("products-{}", number));
    document.url = source.url.resolve(source.keyring ? signed_path(path) : path);
    document.max_bytes = largest_products;
    document.clearsigned = source.keyring.has_value();
    document.keyring = source.keyring;
    return document;
}

CatalogueStep read_index(const ImageSource& source, std::string_view text) {
    const Json json = parse_index(text);
    check_format(json, "index:1.0");
    CatalogueStep step;
    for (const auto& [name, list] : object_in(json, "index").items()) {
        if (!list.is_object() || text_in(list, "datatype") != "image-downloads" ||
            text_in(list, "format") != "products:1.0") {
            continue;
        }
        if (step.documents.size() == most_lists) {
            note(step, source.name, fmt::format("it has more than {} lists of images", most_lists));
            break;
        }
        try {
            step.documents.push_back(products_document(source, text_in(list, "path"), step.documents.size()));
        } catch (const Error& error) {
            note(step, source.name, error.what());
        }
    }
    if (step.documents.empty() && step.problems.empty()) {
        note(step, source.name, "its index has no list of images to download");
    }
    return step;
}

// --------------------------------------------------------------------------------------------------- the
// products

/// Only disks for the machines that are wanted, and of all that is told only what is used.
Json parse_products(std::string_view text, const std::vector<Architecture>& architectures) {
    JsonFilter filter;
    filter.max_depth = deepest_products;
    filter.max_keys = most_keys;
    filter.wants_key = [](int depth, std::string_view key) {
        switch (depth) {
        case document_depth:
            return is_one_of(key, {"format", "products"});
        case product_depth:
            return is_one_of(key, {"arch", "os", "release", "release_title", "release_codename", "version",
                                   "variant", "supported", "versions"});
        case version_depth:
            return key == "items";
        case item_depth:
            return is_one_of(key, {"ftype", "path", "sha256", "sha512", "size"});
        default:
            return depth < item_depth;
        }
    };
    std::size_t disks = 0;
    filter.keeps_object = [&](int depth, const Json& object) {
        if (depth == item_depth - 1) {
            const bool is_disk = std::ranges::find(disk_types, text_in(object, "ftype")) != disk_types.end();
            disks += is_disk ? 1 : 0;
            if (disks > most_disks) {
                throw Error(ErrorCode::invalid, fmt::format("it has more than {} disks", most_disks));
            }
            return is_disk;
        }
        if (depth == version_depth - 1) {
            return !object_in(object, "items").empty();
        }
        if (depth == product_depth - 1) {
            const auto architecture = find_architecture(text_in(object, "arch"));
            return architecture && std::ranges::count(architectures, *architecture) > 0;
        }
        return true;
    };
    return parse_json(text, filter);
}

/// "20260318_07:42" is "20260318_07-42" here.
std::optional<ImageVersion> version_of(const std::string& key) {
    std::string text = key;
    std::ranges::replace(text, ':', '-');
    try {
        return ImageVersion::parse(text);
    } catch (const Error&) {
        return std::nullopt;
    }
}

const Json* best_disk(const Json& items) {
    for (const std::string_view type : disk_types) {
        for (const auto& [name, item] : items.items()) {
            if (item.is_object() && text_in(item, "ftype") == type) {
                return &item;
            }
        }
    }
    return nullptr;
}

/// A product's newest version that has a disk.
struct Disk {
    ImageVersion version;
    const Json* item = nullptr;
};

std::optional<Disk> newest_disk(const Json& product) {
    std::optional<Disk> newest;
    for (const auto& [key, value] : object_in(product, "versions").items()) {
        const auto version = version_of(key);
        const Json* const disk = best_disk(object_in(value, "items"));
        if (version && disk != nullptr && (!newest || newest->version < *version)) {
            newest = Disk{*version, disk};
        }
    }
    return newest;
}

std::string capitalised(std::string word) {
    if (!word.empty() && word.front() >= 'a' && word.front() <= 'z') {
        word.front() = static_cast<char>(word.front() - 'a' + 'A');
    }
    return word;
}

/// What is not the ordinary variant is told by its name.
std::string variant_of(const Json& product) {
    const std::string variant = text_in(product, "variant");
    return variant == "default" ? "" : variant;
}

std::string name_words(const Json& product, const std::string& release) {
    const std::string variant = variant_of(product);
    return text_in(product, "os") + "-" + release + (variant.empty() ? "" : "-" + variant);
}

std::string title_of(const Json& product) {
    const std::string title = text_in(product, "release_title");
    const std::string codename = text_in(product, "release_codename");
    const std::string extra = codename.empty() ? variant_of(product) : codename;
    return fmt::format("{} {}{}", capitalised(text_in(product, "os")),
                       title.empty() ? text_in(product, "release") : title,
                       extra.empty() ? "" : " (" + extra + ")");
}

std::optional<std::uint64_t> size_of(const Json& item) {
    const auto found = item.find("size");
    return found == item.end() ? std::nullopt : std::optional(decode<std::uint64_t>(*found, "size"));
}

std::optional<Checksum> checksum_of(const Json& item) {
    for (const auto& [key, algorithm] : {std::pair("sha512", Checksum::Algorithm::sha512),
                                         std::pair("sha256", Checksum::Algorithm::sha256)}) {
        const std::string hex = text_in(item, key);
        if (hex.empty()) {
            continue;
        }
        Checksum checksum = Checksum::of_hex(hex);
        if (checksum.algorithm() != algorithm) {
            throw Error(ErrorCode::invalid, fmt::format("its {} has a wrong length", key));
        }
        return checksum;
    }
    return std::nullopt;
}

/// Names it by its version, as "ubuntu-24-04", and then by its release too, as "ubuntu-noble".
void name(CatalogueEntry& entry, const Json& product) {
    const std::string version = text_in(product, "version");
    const std::string release = text_in(product, "release");
    entry.name = catalogue_name(name_words(product, version.empty() ? release : version));
    if (!version.empty() && !release.empty() && version != release) {
        entry.aliases.push_back(catalogue_name(name_words(product, release)));
    }
}

CatalogueEntry entry_of(const ImageSource& source, const CatalogueDocument& document, const Json& product,
                        const Disk& disk) {
    CatalogueEntry entry;
    name(entry, product);
    entry.title = one_line(title_of(product));
    entry.version = disk.version;
    entry.architecture = *find_architecture(text_in(product, "arch"));
    entry.url = source.url.resolve(text_in(*disk.item, "path"));
    entry.size = size_of(*disk.item);
    if (entry.size && (*entry.size == 0 || *entry.size > largest_image)) {
        throw Error(ErrorCode::invalid, fmt::format("it would have {}", human_size(*entry.size)));
    }
    entry.checksum = checksum_of(*disk.item);
    if (entry.checksum) {
        entry.verification = document.is_signed() ? Verification::signature : Verification::checksum;
    }
    entry.source = source.name;
    return entry;
}

bool is_abandoned(const Json& product) {
    const auto found = product.find("supported");
    return found != product.end() && found->is_boolean() && !found->get<bool>();
}

CatalogueStep read_products(const ImageSource& source, const std::vector<Architecture>& architectures,
                            const CatalogueDocument& document, std::string_view text) {
    const Json json = parse_products(text, architectures);
    check_format(json, "products:1.0");
    CatalogueStep step;
    for (const auto& [id, product] : object_in(json, "products").items()) {
        const auto disk = product.is_object() && !is_abandoned(product) ? newest_disk(product) : std::nullopt;
        if (!disk) {
            continue; // it is for containers only
        }
        if (step.entries.size() == most_entries) {
            note(step, source.name, fmt::format("it has more than {} images", most_entries));
            break;
        }
        try {
            step.entries.push_back(entry_of(source, document, product, *disk));
        } catch (const Error& error) {
            note(step, source.name, fmt::format("{}: {}", id, error.what()));
        }
    }
    return step;
}

} // namespace

std::vector<CatalogueDocument> simplestreams_documents(const ImageSource& source) {
    CatalogueDocument index;
    index.id = Name::parse(index_id);
    index.url = source.url.resolve(source.keyring ? "streams/v1/index.sjson" : "streams/v1/index.json");
    index.max_bytes = largest_streams_index;
    index.clearsigned = source.keyring.has_value();
    index.keyring = source.keyring;
    return {index};
}

CatalogueStep read_simplestreams(const ImageSource& source, const std::vector<Architecture>& architectures,
                                 const CatalogueText& text) {
    const bool is_index = text.document.id.to_string() == index_id;
    if (text.text.size() > (is_index ? largest_streams_index : largest_products)) {
        throw Error(ErrorCode::invalid,
                    fmt::format("it has more than {}",
                                human_size(is_index ? largest_streams_index : largest_products)));
    }
    const std::string inside = without_signature(text.text);
    return is_index ? read_index(source, inside)
                    : read_products(source, architectures, text.document, inside);
}

} // namespace capsul
