// Removing the images that nobody wants.
#include "daemon/file_copy.hpp"
#include "daemon/image_files.hpp"
#include "daemon/image_names.hpp"
#include "daemon/image_service.hpp"

#include <algorithm>

namespace capsul {
namespace {

/// Throws Error (wrong_state) while the record of a VM, an image or an alias cannot be read: it may want
/// anything.
void require_readable(Store& store) {
    const auto check = [](const char* noun, const auto& all) {
        const auto broken = std::ranges::find_if(all, [](const auto& stored) { return !stored.record; });
        if (broken != all.end()) {
            throw Error(
                ErrorCode::wrong_state,
                std::string(noun) + " " + broken->name.to_string() +
                    ": its record cannot be used, so it is not known what it needs: " + broken->broken,
                std::string("mend the file, or remove the ") + noun);
        }
    };
    check("vm", store.vms.list());
    check("image", store.images.list());
    check("image alias", store.aliases.list());
}

bool is_unwanted(const Image& image, const ImagePrune& call) {
    if (!image.unused_since || !image.aliases.empty() || image.pinned) {
        return false;
    }
    const bool is_chosen = !call.only || std::ranges::find(*call.only, image.name) != call.only->end();
    const auto age = std::chrono::system_clock::now() - image.unused_since->value();
    return is_chosen && (!call.older_than || age >= call.older_than->value());
}

} // namespace

Operation ImageService::prune(const ImagePrune& call) {
    return operations_.submit("image.prune", "images", "images",
                              [this, call](Progress& progress) { return run_prune(call, progress); });
}

Json ImageService::run_prune(const ImagePrune& call, Progress& progress) {
    if (call.dry_run) {
        return encode(plan_prune(call));
    }
    progress.message("waiting for VMs and images that are being made");
    const std::unique_lock lock(in_use_);
    const std::lock_guard naming(names_);
    progress.message("removing what nobody wants");
    const Pruned pruned = plan_prune(call);
    for (const Image& image : pruned.images) {
        remove_record(image);
    }
    remove_unnamed_files();
    return encode(pruned);
}

Pruned ImageService::plan_prune(const ImagePrune& call) {
    require_readable(store_);
    Pruned plan;
    plan.dry_run = call.dry_run;
    std::set<Name> going;
    std::set<std::string> freed;
    const ImageUse use(store_);
    for (const auto& stored : store_.images.list()) {
        Image image = view_.show(stored, use);
        if (is_unwanted(image, call)) {
            going.insert(image.name);
            freed.merge(files_of(*image.digest, image.boot));
            plan.images.push_back(std::move(image));
        }
    }
    for (const std::string& kept : needed_files(store_, going).value_or(freed)) {
        freed.erase(kept);
    }
    for (const std::string& file : freed) {
        plan.freed += allocated_bytes(paths_.images() / file).value_or(0);
    }
    return plan;
}

} // namespace capsul
