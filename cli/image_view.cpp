#include "cli/image_view.hpp"

#include <array>

namespace capsul::cli {
namespace {

std::string names_text(const std::vector<Name>& names) {
    return joined(names, [](const Name& name) { return name.to_string(); });
}

template <auto size>
std::string size_text(const Image& image) {
    return image.*size ? human_size(*(image.*size)) : "";
}

template <auto size>
std::string size_bytes(const Image& image) {
    return image.*size ? std::to_string(*(image.*size)) : "";
}

/// What `text` gives of where an image comes from that was no file of somebody's; empty for others.
template <class Text>
std::string of_origin(const Image& image, const Text& text) {
    return image.origin ? text(*image.origin) : std::string();
}

std::string verified_text(const Image& image) {
    return of_origin(image,
                     [](const ImageOrigin& origin) { return std::string(to_string(origin.verified)); });
}

Style verified_style(const Image& image) {
    return image.origin && image.origin->verified == Verification::none ? Style::changing : Style::plain;
}

constexpr std::array<Column<Image>, 19> image_table{{
    {"name", [](const Image& image) { return image.name.to_string(); }},
    {"alias", [](const Image& image) { return names_text(image.aliases); }, Shown::filled},
    {"version",
     [](const Image& image) {
         return of_origin(image, [](const ImageOrigin& o) { return o.version.to_string(); });
     },
     Shown::filled},
    {"newer", [](const Image& image) { return image.newer.value_or(""); }, Shown::filled, false,
     [](const Image&) { return Style::changing; }},
    {"size", [](const Image& image) { return optional_text(image.size); }, Shown::always, true, nullptr,
     [](const Image& image) { return image.size ? std::to_string(image.size->count()) : std::string(); }},
    {"used", size_text<&Image::disk_usage>, Shown::always, true, nullptr, size_bytes<&Image::disk_usage>},
    {"unique", size_text<&Image::unique>, Shown::wide, true, nullptr, size_bytes<&Image::unique>},
    {"shared", size_text<&Image::shared>, Shown::wide, true, nullptr, size_bytes<&Image::shared>},
    {"kernel", [](const Image& image) { return std::string(image.boot ? "own" : ""); }, Shown::wide},
    {"imported", [](const Image& image) { return optional_text(image.imported); }},
    {"unused", [](const Image& image) { return optional_text(image.unused_since); }, Shown::wide},
    {"verified", verified_text, Shown::filled, false, verified_style},
    {"pinned", [](const Image& image) { return std::string(image.pinned ? "yes" : ""); }, Shown::filled},
    {"id",
     [](const Image& image) { return image.digest ? image.digest->hex().substr(0, 12) : std::string(); }},
    {"digest", [](const Image& image) { return optional_text(image.digest); }, Shown::wide},
    {"source",
     [](const Image& image) {
         return of_origin(image, [](const ImageOrigin& o) { return optional_text(o.source); });
     },
     Shown::wide},
    {"url", [](const Image& image) { return of_origin(image, [](const ImageOrigin& o) { return o.url; }); },
     Shown::wide},
    {"vms", [](const Image& image) { return names_text(image.vms); }},
    {"broken", [](const Image& image) { return image.broken.value_or(""); }, Shown::filled},
}};

std::string verified_words(const ImageOrigin& origin) {
    switch (origin.verified) {
    case Verification::signature:
        return origin.built_from ? "by signature: the distribution has signed its packages"
                                 : "by signature: the publisher has signed what it is";
    case Verification::checksum:
        return "by checksum: it is what the publisher lists, and nothing signs that list";
    case Verification::none:
        break;
    }
    return "no: nothing was there to compare it with";
}

std::string origin_text(const ImageOrigin& origin) {
    return origin.built_from ? "built here from " + *origin.built_from + ", " + origin.url : origin.url;
}

std::string identity_text(const PublishedFrom& published) {
    if (published.cleaned) {
        return "none, virt-sysprep has removed it; each VM made from it gets its own at its first boot";
    }
    return published.reset ? "each VM made from it gets its own at its first boot, by cloud-init"
                           : "each VM made from it has that of VM " + published.vm.to_string();
}

void add_origin(std::vector<Line>& lines, const Image& image) {
    if (image.published) {
        lines.push_back({"Origin", "the disk of VM " + image.published->vm.to_string() + ", made from " +
                                       image.published->image.to_string()});
        lines.push_back({"Identity", identity_text(*image.published)});
        return;
    }
    if (!image.origin) {
        const bool is_image = image.digest.has_value();
        lines.push_back({"Origin", is_image ? "a file that was imported" : ""});
        return;
    }
    lines.push_back({"Origin", origin_text(*image.origin)});
    lines.push_back({"Source", optional_text(image.origin->source)});
    lines.push_back({"Version", image.origin->version.to_string()});
    lines.push_back({"Newer", image.newer ? *image.newer + ": `image update` gets it" : "", Style::changing});
    lines.push_back({"Verified", verified_words(*image.origin), verified_style(image)});
}

/// Zero is left out: few images share anything.
std::string shared_text(const Image& image) {
    return image.shared.value_or(0) == 0 ? "" : human_size(*image.shared) + ", with other images";
}

UsageRow row(const char* what, const Share& share, const char* meaning) {
    return {what, std::to_string(share.count), share.size, meaning};
}

constexpr std::array<Column<UsageRow>, 4> rows_columns{{
    {"what", [](const UsageRow& row) { return row.what; }},
    {"count", [](const UsageRow& row) { return row.count; }, Shown::always, true},
    {"size", [](const UsageRow& row) { return human_size(row.size); }, Shown::always, true, nullptr,
     [](const UsageRow& row) { return std::to_string(row.size); }},
    {"meaning", [](const UsageRow& row) { return row.meaning; }},
}};

} // namespace

std::span<const Column<Image>> image_columns() {
    return image_table;
}

std::string render_image(const Image& image, const OutputOptions& options) {
    std::vector<Line> lines{{"Name", image.name.to_string()},
                            {"Alias of", optional_text(image.alias_of)},
                            {"Aliases", names_text(image.aliases)},
                            {"Broken", image.broken.value_or(""), Style::bad},
                            {"Digest", optional_text(image.digest)},
                            {"Size", optional_text(image.size)},
                            {"Used on disk", size_text<&Image::disk_usage>(image)},
                            {"Its alone", size_text<&Image::unique>(image)},
                            {"Shared", shared_text(image)},
                            {"Imported", optional_text(image.imported)}};
    add_origin(lines, image);
    if (image.boot) {
        lines.push_back({"Kernel", image.boot->kernel.to_string()});
        lines.push_back({"Initrd", optional_text(image.boot->initrd)});
        lines.push_back({"Command line", image.boot->cmdline});
    }
    lines.push_back({"Pinned", image.pinned ? "yes: neither `image prune` nor `image rm` removes it" : ""});
    lines.push_back({"VMs", names_text(image.vms)});
    lines.push_back({"Unused since", optional_text(image.unused_since)});
    return render_lines(lines, options);
}

std::vector<UsageRow> usage_rows(const DiskUsage& usage) {
    return {row("images", usage.images, "all images"),
            row("in_use", usage.in_use, "of those: VMs are made from them"),
            row("pinned", usage.pinned, "pinned"),
            row("aliased", usage.aliased, "an alias points at them"),
            row("unused", usage.unused, "`image prune` removes them"),
            row("uploads", usage.uploads, "files on their way to be images"),
            row("downloads", usage.downloads, "of images that are being pulled, or were cut off"),
            row("vm_disks", usage.vm_disks, "what VMs have written over their images"),
            {"free", "", usage.free, "left on the disk that images are on"},
            {"capacity", "", usage.capacity, "the size of that disk"}};
}

std::span<const Column<UsageRow>> usage_columns() {
    return rows_columns;
}

} // namespace capsul::cli
