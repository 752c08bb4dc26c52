// The commands about the space that images take: df, prune.
#include "cli/commands.hpp"
#include "cli/image_view.hpp"
#include "cli/targets.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

constexpr const char* subject = "image prune";

void show_usage(Session& session) {
    const OutputOptions options = session.output_options();
    const DiskUsage usage = session.client().call(DiskUsageShow{});
    if (session.wants_json()) {
        session.out().write(render_object(encode(usage), options));
    } else {
        print_list<UsageRow>(session.out(), options, usage_rows(usage), usage_columns());
    }
}

struct PruneFlags {
    std::string older_than;
    bool dry_run = false;
    bool yes = false;
};

std::string number_of_images(std::size_t count) {
    return count == 1 ? "1 image" : fmt::format("{} images", count);
}

void print_pruned(Session& session, const Pruned& pruned) {
    const OutputOptions options = session.output_options();
    if (session.wants_json()) {
        session.out().write(render_object(encode(pruned), options));
    } else if (!pruned.images.empty() || session.wants_data()) {
        print_list<Image>(session.out(), options, pruned.images, image_columns());
    }
}

std::string pruned_words(const Pruned& pruned) {
    if (pruned.images.empty()) {
        return "no image is to be removed";
    }
    return fmt::format("{} {}, {} {}", number_of_images(pruned.images.size()),
                       pruned.dry_run ? "would be removed" : "removed", human_size(pruned.freed),
                       pruned.dry_run ? "would be freed" : "freed");
}

/// Asks about what would go; what is returned removes no more than that.
ImagePrune ask_about(const ImagePrune& wanted, const Pruned& plan) {
    ImagePrune agreed = wanted;
    agreed.dry_run = false;
    agreed.only.emplace();
    std::ranges::transform(plan.images, std::back_inserter(*agreed.only), &Image::name);
    if (!confirm(subject, fmt::format("Remove {} for good, which frees {}?", listed(*agreed.only),
                                      human_size(plan.freed)))) {
        throw Error(ErrorCode::invalid, "not removed: the answer was not y", "--yes goes on unasked");
    }
    return agreed;
}

void prune(Session& session, const PruneFlags& flags) {
    ImagePrune call;
    call.older_than = parse_given<Age>("--older-than", flags.older_than);
    const bool asks = !flags.yes && !flags.dry_run;
    if (asks) {
        require_somebody(subject);
    }
    call.dry_run = asks || flags.dry_run;
    Pruned pruned = session.run(call, subject);
    if (asks && !pruned.images.empty()) {
        pruned = session.run(ask_about(call, pruned), subject);
    }
    pruned.dry_run = flags.dry_run;
    print_pruned(session, pruned);
    session.note(pruned_words(pruned));
}

} // namespace

void add_image_df(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "df", "Show what images and the disks of VMs take, and what is free",
                    "capsulctl image df\n"
                    "capsulctl image df --json | jq .unused.size    # what a prune would free");
    prints_table<UsageRow>(session, command, usage_columns());
    command.callback([&session] { show_usage(session); });
}

void add_image_prune(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "prune",
        "Remove all images that no VM is made from, no alias points at and nobody has pinned",
        "capsulctl image prune --dry-run              # tells what would be removed, and what that frees\n"
        "capsulctl image prune                        # asks, on a terminal\n"
        "capsulctl image prune --older-than 30d --yes # unused for so long; without a terminal --yes is "
        "needed");
    auto flags = std::make_shared<PruneFlags>();
    add_text(
        command, "--older-than", flags->older_than, "AGE",
        "Only those that have been unused for so long: since the last VM made from them went, or they came");
    command.add_flag("--dry-run", flags->dry_run, "Remove nothing, show what would be");
    command.add_flag("-y,--yes", flags->yes, "Do not ask");
    prints_table<Image>(session, command, image_columns());
    command.callback([&session, flags] { prune(session, *flags); });
}

} // namespace capsul::cli
