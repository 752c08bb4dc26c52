#include "daemon/catalogue/source.hpp"

#include "daemon/catalogue/builtin.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace capsul {
namespace {

constexpr std::size_t most_sources = 64;
constexpr std::size_t most_images = 256; // of one source

[[noreturn]] void refuse(const Name& source, const std::string& why, const std::string& hint = {}) {
    throw Error(ErrorCode::invalid, fmt::format("image.source '{}': {}", source.to_string(), why), hint);
}

template <class T>
void take_over(std::optional<T>& base, const std::optional<T>& top) {
    if (top) {
        base = top;
    }
}

/// What a configured source names, over the built-in one of its name.
void overlay(ImageSourceConfig& base, const ImageSourceConfig& top) {
    if (top.kind && top.kind != base.kind) {
        refuse(base.name, fmt::format("it is built in as a {}", to_string(*base.kind)),
               "give a source of your own another name");
    }
    take_over(base.enabled, top.enabled);
    take_over(base.url, top.url);
    take_over(base.keyring, top.keyring);
    take_over(base.signature, top.signature);
    std::erase_if(base.image, [&](const FolderImage& image) {
        return std::ranges::find(top.image, image.name, &FolderImage::name) != top.image.end();
    });
    base.image.insert(base.image.end(), top.image.begin(), top.image.end());
}

/// Whether both are of one name and for one machine.
bool clash(const FolderImage& a, const FolderImage& b) {
    const auto is_for_both = [&](Architecture one) { return std::ranges::count(b.architectures, one) > 0; };
    return a.name == b.name && (a.architectures.empty() || b.architectures.empty() ||
                                std::ranges::any_of(a.architectures, is_for_both));
}

void check_images(const ImageSourceConfig& source) {
    const bool is_folder = source.kind == SourceKind::folder;
    if (is_folder == source.image.empty()) {
        refuse(source.name, is_folder
                                ? "a folder needs [[image.source.image]]"
                                : fmt::format("a source of kind {} tells its images itself, so there is no "
                                              "[[image.source.image]] for it",
                                              to_string(*source.kind)));
    }
    if (source.image.size() > most_images) {
        refuse(source.name, fmt::format("it has more than {} images", most_images));
    }
    for (auto image = source.image.begin(); image != source.image.end(); ++image) {
        if (std::any_of(source.image.begin(), image,
                        [&](const FolderImage& b) { return clash(b, *image); })) {
            refuse(source.name, fmt::format("image '{}' stands twice", image->name.to_string()),
                   "two of one name are for different 'architectures'");
        }
        if (image->image_signature && image->image_signature->is_clearsigned()) {
            refuse(source.name,
                   fmt::format("image '{}': an image is not clearsigned", image->name.to_string()),
                   "image_signature is the end of the signature's name, such as .sig");
        }
    }
}

bool names_signature(const ImageSourceConfig& source) {
    return source.signature || std::ranges::any_of(source.image, [](const FolderImage& image) {
               return image.signature || image.image_signature;
           });
}

/// What nobody could mean.
void check(const ImageSourceConfig& source) {
    if (!source.kind || !source.url) {
        refuse(source.name, fmt::format("'{}' is missing", source.kind ? "url" : "kind"),
               "kind is simplestreams, folder or index; a built-in source needs neither");
    }
    check_images(source);
    if (source.signature && source.kind != SourceKind::index) {
        refuse(source.name, "'signature' is of an index",
               "a folder's stands with its images; simplestreams are always clearsigned");
    }
    if (source.keyring && source.kind == SourceKind::folder && !names_signature(source)) {
        refuse(source.name, "it has a keyring, and no image with a signature",
               "add 'signature' or 'image_signature' to its images");
    }
    if (!source.keyring && names_signature(source)) {
        refuse(source.name, "it has a signature, and no keyring to check it by",
               "add 'keyring', the path of a file with the publisher's public keys");
    }
}

Url as_folder(const Url& url) {
    return url.file_name().empty() ? url : url.with_suffix("/");
}

ImageSource resolve(const ImageSourceConfig& config) {
    ImageSource source;
    source.name = config.name;
    source.kind = *config.kind;
    source.url = source.kind == SourceKind::index ? *config.url : as_folder(*config.url);
    source.keyring = config.keyring;
    source.signature = config.signature;
    if (source.kind == SourceKind::index && source.keyring && !source.signature) {
        source.signature = SignatureForm::parse(".asc");
    }
    source.images = config.image;
    return source;
}

/// `from`: where a built-in source's own keyring is to be had; empty for one that was configured.
void look_for_keyring(ImageSource& source, const FileExists& exists, const std::string& from) {
    if (!source.keyring || exists(source.keyring->to_string())) {
        return;
    }
    const std::string missing = fmt::format("its keyring {} is missing", source.keyring->to_string());
    source.usable = !from.empty();
    source.problem = from.empty()
                         ? SourceProblem{source.name, missing + ", so nothing is taken from it",
                                         "put it there, or leave 'keyring' out of capsuld.toml"}
                         : SourceProblem{source.name, missing + ": its signatures are not checked", from};
    source.keyring.reset();
}

const ImageSourceConfig* find(const std::vector<ImageSourceConfig>& sources, const Name& name) {
    const auto found = std::ranges::find(sources, name, &ImageSourceConfig::name);
    return found == sources.end() ? nullptr : &*found;
}

void add(std::vector<ImageSource>& sources, const ImageSourceConfig& config, const FileExists& exists,
         const std::string& keyring_from) {
    if (config.enabled == false) {
        return;
    }
    check(config);
    ImageSource source = resolve(config);
    look_for_keyring(source, exists, keyring_from);
    sources.push_back(std::move(source));
}

} // namespace

std::vector<ImageSource> image_sources(const ImageConfig& config, const FileExists& exists) {
    const std::vector<BuiltinSource> builtin = builtin_sources();
    std::vector<std::string> names;
    std::ranges::transform(builtin, std::back_inserter(names),
                           [](const BuiltinSource& one) { return one.source.name.to_string(); });
    const auto is_builtin = [&](const Name& name) {
        return std::ranges::find(names, name.to_string()) != names.end();
    };
    std::vector<ImageSource> sources;
    for (const ImageSourceConfig& own : config.source) {
        if (is_builtin(own.name)) {
            continue;
        }
        if (own.enabled == false && !own.kind) {
            refuse(own.name, "there is no built-in source of this name to switch off",
                   fmt::format("built in are {}", fmt::join(names, ", ")));
        }
        add(sources, own, exists, {});
    }
    for (const BuiltinSource& one : builtin) {
        ImageSourceConfig merged = one.source;
        const ImageSourceConfig* const changes = find(config.source, merged.name);
        if (changes != nullptr) {
            overlay(merged, *changes);
        }
        const bool has_own_keyring = changes != nullptr && changes->keyring;
        add(sources, merged, exists, has_own_keyring ? std::string() : one.keyring_from);
    }
    if (sources.size() > most_sources) {
        throw Error(ErrorCode::invalid, fmt::format("image.source: there are more than {}", most_sources));
    }
    return sources;
}

} // namespace capsul
