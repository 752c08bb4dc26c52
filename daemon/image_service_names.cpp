// Aliases and pins: what changes the name of an image, or what becomes of it, and never its files.
#include "daemon/image_files.hpp"
#include "daemon/image_names.hpp"
#include "daemon/image_service.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

Error no_such_alias(Store& store, const Name& name) {
    const std::string& text = name.to_string();
    return {ErrorCode::not_found, about_image(name, "is no alias"),
            store.images.exists(name)
                ? fmt::format("{0} is an image: `capsulctl image rm {0}` removes it", text)
                : "`capsulctl image list` shows the aliases of each image"};
}

} // namespace

Operation ImageService::tag(const ImageTag& call) {
    static_cast<void>(usable(call.image));
    require_no_image(store_, call.name);
    return operations_.submit(
        "image.tag", call.name.to_string(), "image/" + call.name.to_string(),
        [this, call](Progress& /*quick*/) { return encode(point(call.name, call.image)); });
}

Image ImageService::point(const Name& alias, const Name& image) {
    const std::shared_lock lock(in_use_);
    const std::lock_guard naming(names_);
    const ImageRecord record = usable(image);
    point_alias(alias, record.name);
    return show(record.name);
}

void ImageService::point_alias(const Name& alias, const Name& image) {
    require_no_image(store_, alias);
    const auto known = store_.aliases.find(alias);
    if (known && known->record && known->record->image == image) {
        return;
    }
    AliasRecord record;
    record.name = alias;
    record.image = image;
    record.changed = Timestamp::now();
    store_.aliases.save(record);
    events_.add("image.tagged", alias.to_string(), Json{{"image", image.to_string()}});
}

Operation ImageService::untag(const Name& alias) {
    if (!store_.aliases.exists(alias)) {
        throw no_such_alias(store_, alias);
    }
    return operations_.submit("image.untag", alias.to_string(), "image/" + alias.to_string(),
                              [this, alias](Progress& /*quick*/) { return run_untag(alias); });
}

Json ImageService::run_untag(const Name& alias) {
    const std::lock_guard naming(names_);
    const auto stored = store_.aliases.find(alias);
    if (!stored) {
        throw no_such_alias(store_, alias);
    }
    const Image before = view_.show(*stored);
    store_.aliases.remove(alias);
    events_.add("image.untagged", alias.to_string(),
                before.alias_of ? Json{{"image", before.alias_of->to_string()}} : Json::object());
    return encode(before);
}

Operation ImageService::set_pinned(const Name& name, bool pinned) {
    static_cast<void>(image_named(store_, name));
    return operations_.submit(
        pinned ? "image.pin" : "image.unpin", name.to_string(), "image/" + name.to_string(),
        [this, name, pinned](Progress& /*quick*/) { return run_set_pinned(name, pinned); });
}

Json ImageService::run_set_pinned(const Name& name, bool pinned) {
    const std::lock_guard naming(names_);
    ImageRecord record = store_.images.load(image_named(store_, name));
    if (record.pinned != pinned) {
        record.pinned = pinned;
        store_.images.save(record);
        events_.add(pinned ? "image.pinned" : "image.unpinned", record.name.to_string());
    }
    return encode(show(record.name));
}

std::optional<Name> ImageService::with_content(const Digest& disk, const std::optional<DirectKernel>& boot) {
    for (const auto& image : store_.images.list()) {
        const bool is_same = image.record && image.record->digest == disk &&
                             files_of(disk, image.record->boot) == files_of(disk, boot);
        if (is_same && missing_file(paths_.images(), *image.record).empty()) {
            return image.name;
        }
    }
    return std::nullopt;
}

void ImageService::take_back(const Name& name, Progress& progress) {
    try {
        run_remove(name, progress);
    } catch (const Error&) {
        // It is an image as any other then.
    }
}

} // namespace capsul
