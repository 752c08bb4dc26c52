// The commands that give images names, or keep them: tag, untag, pin, unpin.
#include "cli/commands.hpp"
#include "cli/image_view.hpp"
#include "cli/targets.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

/// What an alias leads to at present; nothing when there is no such alias.
std::optional<Name> image_behind(Session& session, const Name& alias) {
    for (const Image& image : session.client().call(ImageList{})) {
        if (image.name == alias && image.alias_of) { // it leads nowhere
            return image.alias_of;
        }
        if (std::ranges::find(image.aliases, alias) != image.aliases.end()) {
            return image.name;
        }
    }
    return std::nullopt;
}

std::string tagged_words(const ImageTag& call, const Image& image, const std::optional<Name>& before) {
    if (before == image.name) {
        return fmt::format("image {}: is {} already", call.name.to_string(), image.name.to_string());
    }
    const std::string moved = before ? fmt::format(", and was {}", before->to_string()) : "";
    return fmt::format("image {}: is {} now{}", call.name.to_string(), image.name.to_string(), moved);
}

void tag(Session& session, const ImageTag& call) {
    const auto before = image_behind(session, call.name);
    // The daemon says which of the two names it means.
    const Image image = about("image", [&] { return session.run(call, "image"); });
    session.note(tagged_words(call, image, before));
    print_results<Image>(session, {image}, true, image_columns());
}

void untag(Session& session, const std::vector<std::string>& words) {
    std::vector<Image> removed;
    run_for_each<ImageUntag>(
        session, "image", parse_names(words), [](const Name& name) { return ImageUntag{name}; },
        [&](const Name& name, const Image& alias) {
            session.note(fmt::format("image {}: is no alias any more", name.to_string()));
            removed.push_back(alias);
        });
    print_results<Image>(session, removed, words.size() == 1, image_columns());
}

/// Pins or unpins; `now` is what they are then.
template <Call C>
void set_pins(Session& session, const std::vector<std::string>& words, const char* now) {
    std::vector<Image> images;
    run_for_each<C>(
        session, "image", parse_names(words), [](const Name& name) { return C{name}; },
        [&](const Name& name, const Image& image) {
            const std::string what = name == image.name ? "" : image.name.to_string() + " is ";
            session.note(fmt::format("image {}: {}{}", name.to_string(), what, now));
            images.push_back(image);
        });
    print_results<Image>(session, images, words.size() == 1, image_columns());
}

/// A command that takes the names of images.
template <class Work>
void add_for_names(CLI::App& parent, Session& session, const char* verb, const char* type,
                   const char* description, const char* examples, Work work) {
    CLI::App& command = add_command(parent, verb, description, examples);
    auto names = std::make_shared<std::vector<std::string>>();
    const bool is_alias = std::string_view(type) == alias_type;
    command.add_option(type, *names, is_alias ? "The alias, or several" : "The image or alias, or several")
        ->required()
        ->type_name(type);
    prints_table<Image>(session, command, image_columns(), true);
    command.callback([names, work] { work(*names); });
}

} // namespace

void add_image_tag(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "tag", "Give an image a second name, an alias; one that is there is moved",
                    "capsulctl image tag debian-12-20261122 debian-12\n"
                    "capsulctl image tag debian-12-20261101 debian-12    # back to an older version\n"
                    "capsulctl vm create web --image debian-12           # an alias is as good as a name");
    struct TagFlags {
        std::string image;
        std::string alias;
    };
    auto flags = std::make_shared<TagFlags>();
    command.add_option("IMAGE", flags->image, "The image, or an alias of it")->required()->type_name("IMAGE");
    command.add_option("ALIAS", flags->alias, "The alias; no image's name")
        ->required()
        ->type_name(alias_type);
    prints_table<Image>(session, command, image_columns(), true);
    command.callback([&session, flags] {
        tag(session, ImageTag{.name = Name::parse(flags->alias), .image = Name::parse(flags->image)});
    });
}

void add_image_untag(CLI::App& parent, Session& session) {
    add_for_names(parent, session, "untag", alias_type, "Remove aliases; the images stay",
                  "capsulctl image untag debian-12",
                  [&session](const std::vector<std::string>& names) { untag(session, names); });
}

void add_image_pin(CLI::App& parent, Session& session) {
    add_for_names(
        parent, session, "pin", "IMAGE",
        "Keep images: neither `image prune` nor `image rm` removes them. Of an alias, the image that it "
        "points at",
        "capsulctl image pin debian-12-20261122",
        [&session](const std::vector<std::string>& names) { set_pins<ImagePin>(session, names, "pinned"); });
}

void add_image_unpin(CLI::App& parent, Session& session) {
    add_for_names(parent, session, "unpin", "IMAGE", "Let images be removed again",
                  "capsulctl image unpin debian-12-20261122",
                  [&session](const std::vector<std::string>& names) {
                      set_pins<ImageUnpin>(session, names, "not pinned");
                  });
}

} // namespace capsul::cli
