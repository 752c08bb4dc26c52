#include "daemon/image_names.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::size_t most_names = 10; ///< that an error lists

} // namespace

Name image_named(Store& store, const Name& name) {
    if (store.images.exists(name)) {
        return name;
    }
    const auto alias = store.aliases.find(name);
    if (!alias) {
        throw no_such_image(store, name);
    }
    if (const std::string problem = alias_problem(store, *alias); !problem.empty()) {
        throw Error(
            ErrorCode::wrong_state, about_image(name, problem),
            fmt::format("`capsulctl image tag IMAGE {0}` points it at another, `capsulctl image untag {0}` "
                        "removes it",
                        name.to_string()));
    }
    return alias->record->image;
}

std::string alias_problem(Store& store, const Stored<AliasRecord>& alias) {
    if (!alias.record) {
        return alias.broken;
    }
    if (store.images.exists(alias.name)) { // made by hand: capsul refuses it
        return "is an alias, but an image has this name too";
    }
    const std::string image = alias.record->image.to_string();
    return store.images.exists(alias.record->image)
               ? ""
               : fmt::format("is an alias of {}, which does not exist", image);
}

void require_no_alias(Store& store, const Name& name) {
    if (store.aliases.exists(name)) {
        throw Error(ErrorCode::exists, about_image(name, "exists already, as an alias"),
                    fmt::format("choose another name, or remove the alias first: `capsulctl image untag {}`",
                                name.to_string()));
    }
}

void require_no_image(Store& store, const Name& name) {
    if (store.images.exists(name)) {
        throw Error(ErrorCode::exists, about_image(name, "exists already, and is no alias"),
                    "choose another name for the alias: images and aliases share one name space");
    }
}

Error no_such_image(Store& store, const Name& name) {
    std::vector<Name> names;
    for (const auto& stored : store.images.list()) {
        names.push_back(stored.name);
    }
    for (const auto& stored : store.aliases.list()) {
        names.push_back(stored.name);
    }
    std::ranges::sort(names);
    return {ErrorCode::not_found, about_image(name, "does not exist"),
            names.empty() ? "there is none yet: `capsulctl image import NAME FILE` makes one"
                          : "images there are: " + join_names(names)};
}

std::string about_image(const Name& name, const std::string& text) {
    return fmt::format("image {}: {}", name.to_string(), text);
}

std::string join_names(const std::vector<Name>& names) {
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), most_names); ++i) {
        text += (i == 0 ? "" : ", ") + names[i].to_string();
    }
    return names.size() > most_names ? fmt::format("{} and {} more", text, names.size() - most_names) : text;
}

} // namespace capsul
