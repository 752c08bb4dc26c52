// The commands that get images from elsewhere: search, pull, update.
#include "lib/image_pull.hpp"
#include "cli/command.hpp"
#include "cli/commands.hpp"
#include "cli/image_view.hpp"
#include "cli/targets.hpp"

#include <array>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

constexpr std::array<Column<CatalogueEntry>, 8> columns{{
    {"name", [](const CatalogueEntry& entry) { return entry.name.to_string(); }},
    {"version", [](const CatalogueEntry& entry) { return entry.version.to_string(); }},
    {"verified", [](const CatalogueEntry& entry) { return std::string(to_string(entry.verification)); }},
    {"size", [](const CatalogueEntry& entry) { return entry.size ? human_size(*entry.size) : std::string(); },
     Shown::filled, true, nullptr,
     [](const CatalogueEntry& entry) { return entry.size ? std::to_string(*entry.size) : std::string(); }},
    {"source", [](const CatalogueEntry& entry) { return entry.source.to_string(); }},
    {"title", [](const CatalogueEntry& entry) { return entry.title; }},
    {"aliases",
     [](const CatalogueEntry& entry) {
         return joined(entry.aliases, [](const Name& name) { return name.to_string(); });
     },
     Shown::wide},
    {"url", [](const CatalogueEntry& entry) { return entry.url.to_string(); }, Shown::wide},
}};

void tell_problems(Session& session, const Catalogue& catalogue) {
    for (const SourceProblem& problem : catalogue.problems) {
        session.note(fmt::format("source {}: {}", problem.source.to_string(), problem.message));
        if (problem.hint && !problem.hint->empty()) {
            session.note("hint: " + *problem.hint);
        }
    }
}

void search(Session& session, const ImageSearch& call) {
    const Catalogue found = session.run(call, "image search");
    tell_problems(session, found);
    print_list<CatalogueEntry>(session.out(), session.output_options(), found.entries, columns);
    if (found.entries.empty()) {
        session.exit_code = exit_code(ErrorCode::not_found); // as grep does
    }
}

struct PullFlags {
    std::string image;
    std::string as;
    std::string sha256;
    std::string sha512;
    std::string verify;
    bool unverified = false;
};

/// `length` in hexadecimal digits.
std::optional<Checksum> checksum(const char* option, const std::string& hex, std::size_t length) {
    if (hex.empty()) {
        return std::nullopt;
    }
    if (hex.size() != length) {
        throw Error(ErrorCode::invalid, fmt::format("{}: is not {} hexadecimal digits", option, length),
                    fmt::format("{}sum FILE prints it", option + 2));
    }
    return Checksum::of_hex(hex);
}

ImagePull call_of(const PullFlags& flags) {
    ImagePull call;
    call.image = flags.image;
    call.as = parse_given<Name>("--as", flags.as);
    if (!flags.sha256.empty() && !flags.sha512.empty()) {
        throw Error(ErrorCode::invalid, "--sha256 and --sha512 exclude each other");
    }
    call.checksum = flags.sha512.empty() ? checksum("--sha256", flags.sha256, 64)
                                         : checksum("--sha512", flags.sha512, 128);
    call.verification = parse_given<Verification>("--verify", flags.verify);
    call.unverified = flags.unverified;
    return call;
}

std::string how_verified(const Image& image) {
    if (!image.origin || image.origin->verified == Verification::none) {
        return "not verified";
    }
    return fmt::format("verified by {}", to_string(image.origin->verified));
}

void pull(Session& session, const PullFlags& flags) {
    const ImagePull call = call_of(flags);
    const std::string subject = "image " + flags.image;
    const Image image = about(subject, [&] { return session.run(call, subject); });
    session.note(fmt::format("{}: is here as {}, {}", subject, image.name.to_string(), how_verified(image)));
    print_made<Image>(session.out(), session.output_options(), image, image_columns());
}

/// The aliases whose images are from a source of the catalogue; what is pinned is to stay what it is.
std::vector<Name> updatable(Session& session) {
    std::vector<Name> aliases;
    for (const Image& image : session.client().call(ImageList{})) {
        if (!image.pinned && image.origin && image.origin->source && image.origin->entry) {
            aliases.insert(aliases.end(), image.aliases.begin(), image.aliases.end());
        }
    }
    return aliases;
}

void update(Session& session, const std::vector<std::string>& words) {
    const std::vector<Name> names = words.empty() ? updatable(session) : parse_names(words);
    if (names.empty()) {
        session.note("no alias is of an image from the catalogue that is not pinned");
    }
    std::vector<Image> images;
    run_for_each<ImageUpdate>(
        session, "image", names, [](const Name& name) { return ImageUpdate{name}; },
        [&](const Name& name, const ImageUpdated& updated) {
            const std::string now = updated.image.name.to_string();
            session.note(updated.before == updated.image.name
                             ? fmt::format("image {}: {} is the newest", name.to_string(), now)
                             : fmt::format("image {}: is {} now, and was {}", name.to_string(), now,
                                           updated.before.to_string()));
            images.push_back(updated.image);
        });
    print_results<Image>(session, images, words.size() == 1, image_columns());
}

} // namespace

void add_image_search(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(parent, "search", "Find images that can be had",
                                    "capsulctl image search                  # all\n"
                                    "capsulctl image search debian\n"
                                    "capsulctl image search --refresh -o wide ubuntu");
    auto call = std::make_shared<ImageSearch>();
    command.add_option("WORD", call->word, "In its name, title or source")->type_name("WORD");
    command.add_flag("--refresh", call->refresh, "Ask all sources now, however short ago they were asked");
    prints_table<CatalogueEntry>(session, command, columns);
    command.callback([&session, call] { search(session, *call); });
}

void add_image_pull(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "pull", "Download an image, by its name in the catalogue or from a URL",
        "capsulctl image pull debian-12\n"
        "capsulctl image pull ubuntu-24-04 --as base\n"
        "capsulctl image pull https://example.org/lab.qcow2.xz --sha512 \"$(cut -d' ' -f1 SHA512)\"");
    auto flags = std::make_shared<PullFlags>();
    command.add_option("IMAGE", flags->image, "A name that `image search` shows, or a URL")
        ->required()
        ->type_name("IMAGE|URL");
    add_text(command, "--as", flags->as, "NEW",
             "The alias for it, instead of the catalogue's name; from a URL, what to call it");
    add_text(command, "--sha256", flags->sha256, "HEX", "The checksum of a URL's file");
    add_text(command, "--sha512", flags->sha512, "HEX", "The checksum of a URL's file");
    add_text(command, "--verify", flags->verify, "signature|checksum|none",
             "Refuse it when less can be had; default: the most that its source offers, but not nothing");
    command.add_flag("--insecure-no-checksum", flags->unverified, "Take a URL's file as it comes");
    prints_table<Image>(session, command, image_columns());
    command.callback([&session, flags] { pull(session, *flags); });
}

void add_image_update(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "update", "Pull what is newer, beside the old, and move aliases to it; VMs stay as they are",
        "capsulctl image update                  # all of images from the catalogue that are not pinned\n"
        "capsulctl image update debian-12\n"
        "capsulctl image update -q && capsulctl image prune --yes --older-than 30d    # by cron");
    auto names = std::make_shared<std::vector<std::string>>();
    command.add_option("ALIAS", *names, "The alias, or several")->type_name(alias_type);
    prints_table<Image>(session, command, image_columns(), true);
    command.callback([&session, names] { update(session, *names); });
}

} // namespace capsul::cli
