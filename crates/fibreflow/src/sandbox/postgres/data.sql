-- Invented rows, the same ones in every sandbox. The numbers are in no use, and `.example` is nobody's domain.
-- As in the company's own rows: some contacts are unknown, and phone numbers come in three spellings.

insert into contractors (id, company_name, contact_person, email, phone, address, status, is_active, created_at, updated_at)
select
    md5('contractor ' || n)::uuid,
    company_name,
    contact_person,
    case when n % 9 <> 4 then 'office@' || trim(both '-' from regexp_replace(lower(company_name), '[^a-z]+', '-', 'g')) || '.example' end,
    case when n % 11 <> 7 then (array['+2782', '2782', '082'])[1 + n % 3] || '000' || to_char(n, 'FM0000') end,
    town || ', South Africa',
    status,
    is_active,
    timestamp '2025-01-06 07:30' + n * interval '31 hours',
    timestamp '2025-06-02 06:15' + n * interval '5 hours'
from (values
    (1, 'Lightspeed Trenching', 'Thabo Mokoena', 'Lawley', 'approved', true),
    (2, 'Umoya Fibre Installations', 'Nomvula Dlamini', 'Durban North', 'approved', true),
    (3, 'Karoo Network Builders', 'Pieter van Wyk', 'Beaufort West', 'approved', true),
    (4, 'Sisonke Cabling (Pty) Ltd', 'Sipho Khumalo', 'Soweto', 'approved', true),
    (5, 'Boerboel Civils CC', 'Johan Botha', 'Kempton Park', 'suspended', false),
    (6, 'Mzansi Drops & Poles', 'Lerato Molefe', 'Tembisa', 'approved', true),
    (7, 'Protea Last Mile', 'Anele Ngcobo', 'Stellenbosch', 'approved', true),
    (8, 'Highveld Fibre Splicing', 'Kobus Steyn', 'Witbank', 'pending', true),
    (9, 'Ikhwezi Telecoms Contractors', 'Zanele Mthembu', 'Umlazi', 'approved', true),
    (10, 'Blue Crane Infrastructure', 'Riaan du Plessis', 'Centurion', 'approved', true),
    (11, 'Vuka Trenching Services', 'Bongani Zulu', 'KwaMashu', 'approved', true),
    (12, 'Table Bay Optical', 'Fatima Adams', 'Milnerton', 'approved', true),
    (13, 'Drakensberg Pole Planting', 'Mandla Hadebe', 'Harrismith', 'inactive', false),
    (14, 'Ubuntu Fibre Teams', 'Precious Nkosi', 'Diepsloot', 'approved', true),
    (15, 'Springbok Aerial Cabling', 'Willem Kruger', 'Pretoria West', 'approved', true),
    (16, 'Khanya Networks', 'Ayanda Cele', 'Pinetown', 'pending', true),
    (17, 'Fynbos Connect', 'Chantal Jacobs', 'Paarl', 'approved', true),
    (18, 'Rooibos Field Services', 'Deon Visser', 'Clanwilliam', null, true),
    (19, 'Gauteng Home Connections', 'Tshepo Maseko', 'Alexandra', 'approved', true),
    (20, 'Amandla Optic Works', 'Lindiwe Sithole', 'Orange Farm', 'approved', true),
    (21, 'Nkanyezi Splice Crew', 'Mpho Radebe', 'Katlehong', 'approved', true),
    (22, 'Baobab Fibre & Civils', 'Rendani Mudau', 'Polokwane', 'approved', true),
    (23, 'Kameeldoring Contractors', 'Hennie Pretorius', 'Upington', 'inactive', false),
    (24, 'Siyaya Installations', 'Nosipho Gumede', 'Mandeni', 'approved', true),
    (25, 'Jozi Drop Installers', 'Kagiso Tau', 'Johannesburg', 'approved', true),
    (26, 'Cape Flats Fibre Co-op', 'Yusuf Davids', 'Mitchells Plain', 'approved', true),
    (27, 'Tsamaya Network Services', 'Dineo Phiri', 'Mamelodi', 'approved', true),
    (28, 'Welwitschia Digging', 'Frans Coetzee', 'Springbok', 'blacklisted', false),
    (29, 'Isivande Communications', 'Themba Ndlovu', 'Empangeni', 'approved', true),
    (30, 'Magaliesberg Optics', 'Annelie Venter', 'Rustenburg', 'approved', true),
    (31, 'Lesedi Fibre Works', 'Refilwe Moagi', 'Heidelberg', 'approved', true),
    (32, 'Golden Reef Trenching', 'Andries Nel', 'Boksburg', 'approved', true),
    (33, 'Phakamisa Home Fibre', 'Siyabonga Mkhize', 'Pietermaritzburg', 'pending', true),
    (34, 'Sunbird Installations', 'Megan Naidoo', 'Phoenix', 'approved', true),
    (35, 'Vaal River Cabling', 'Morne Swanepoel', 'Vanderbijlpark', 'approved', true),
    (36, 'Inkanyamba Projects', 'Sanele Shabalala', 'Newcastle', 'approved', true),
    (37, 'Marula Telecom Services', 'Tinyiko Baloyi', 'Giyani', 'approved', true),
    (38, 'Kgalagadi Connect', 'Boitumelo Seleka', 'Kuruman', null, true),
    (39, 'Overberg Fibre Teams', 'Ruan Fourie', 'Caledon', 'approved', true),
    (40, 'Thusanang Cable Crew', 'Palesa Mokoena', 'Botshabelo', 'approved', true),
    (41, 'Knysna Loerie Networks', 'Candice Meyer', 'George', 'approved', true),
    (42, 'Rainbow Route Builders', 'Ashwin Pillay', 'Chatsworth', 'inactive', false),
    (43, 'Letaba Poles & Civils', 'Lucky Mabunda', 'Tzaneen', 'approved', true),
    (44, 'Imvula Optical Services', 'Busisiwe Zungu', 'Richards Bay', 'approved', true),
    (45, 'Algoa Bay Installers', 'Luyanda Mbeki', 'Kwanobuhle', 'approved', true),
    (46, 'Ndabeni Fibre Solutions', 'Xolani Jack', 'Langa', 'approved', true),
    (47, 'Nama Aerial Works', 'Jacobus Cloete', 'Vredendal', 'approved', true),
    (48, 'Masakhane Digging Co-op', 'Nomsa Fani', 'Mdantsane', 'approved', true),
    (49, 'Quiver Tree Technologies', 'Elsabe Louw', 'Kimberley', 'pending', true),
    (50, 'Soshanguve Drop Team', 'Jabu Mahlangu', 'Soshanguve', 'approved', true),
    (51, 'Hluhluwe Home Connect', 'Nkululeko Buthelezi', 'Mtubatuba', 'approved', true),
    (52, 'Tswelopele Civils', 'Oupa Motaung', 'Welkom', 'approved', true),
    (53, 'Atlas Splicing SA', 'Craig Daniels', 'Bellville', 'approved', true),
    (54, 'Egoli Fibre Brigade', 'Vusi Masango', 'Ivory Park', 'approved', true),
    (55, 'Strelitzia Networks', 'Prenisha Govender', 'Umhlanga', 'approved', true),
    (56, 'Ilanga Cabling', 'Thandeka Mabaso', 'Ladysmith', 'suspended', false),
    (57, 'Bushveld Broadband Builders', 'Gert Labuschagne', 'Mokopane', 'approved', true),
    (58, 'Wild Coast Connections', 'Zukiswa Mqhayi', 'Mthatha', 'approved', true),
    (59, 'Sandveld Trenching', 'Hannes Burger', 'Malmesbury', null, false),
    (60, 'Mohadin Home Fibre', 'Ismail Patel', 'Mohadin', 'approved', true)
) as rows (n, company_name, contact_person, town, status, is_active);

insert into projects (project_name, description, status, contractor_id, created_at, updated_at)
select
    project_name,
    description,
    status,
    case when status = 'active' then md5('contractor ' || 1 + n * 7 % 60)::uuid end,
    timestamp '2025-02-03 08:00' + n * interval '53 hours',
    timestamp '2025-06-09 09:45' + n * interval '7 hours'
from (values
    (1, 'Lawley', 'Phase 1, aerial, 4,800 homes', 'active'),
    (2, 'Mohadin', 'Phase 1, aerial, 2,100 homes', 'active'),
    (3, 'Ivory Park', 'Phase 2, aerial along the main roads', 'active'),
    (4, 'Tembisa North', null, 'active'),
    (5, 'Diepsloot West', 'Phase 1, poles planted, stringing begun', 'active'),
    (6, 'Orange Farm Ext 4', 'Permissions of 312 poles are outstanding', 'on_hold'),
    (7, 'Mamelodi East', 'Aerial, 6,300 homes', 'active'),
    (8, 'Soshanguve VV', null, 'planning'),
    (9, 'Katlehong', 'Aerial, 3,950 homes', 'active'),
    (10, 'Alexandra', 'Trenched in the avenues, aerial elsewhere', 'active'),
    (11, 'Umlazi J Section', 'Phase 1', 'active'),
    (12, 'KwaMashu', 'Phase 2, follows the upgrade of the ring', 'planning'),
    (13, 'Phoenix', 'Handed over, maintenance only', 'completed'),
    (14, 'Chatsworth Unit 7', null, 'completed'),
    (15, 'Mitchells Plain', 'Aerial, 5,400 homes', 'active'),
    (16, 'Khayelitsha Site C', 'Survey done, design in review', 'planning'),
    (17, 'Langa', 'Aerial, 1,700 homes', 'completed'),
    (18, 'Kwanobuhle', 'Phase 1, 2,900 homes', 'active'),
    (19, 'Mdantsane NU 3', 'Waiting for wayleaves', 'on_hold'),
    (20, 'Botshabelo Section H', 'Aerial, 3,200 homes', 'active'),
    (21, 'Seshego Zone 4', null, 'planning'),
    (22, 'Galeshewe', 'Stopped: the backhaul was not built', 'cancelled'),
    (23, 'Jouberton', 'Aerial, 2,250 homes', 'active'),
    (24, 'Evaton West', 'Entered by hand, to be checked', null),
    (25, 'Vosloorus', 'Aerial, 4,100 homes', 'active')
) as rows (n, project_name, description, status)
order by n;

-- Sixteen drops to each of the first 25 projects, four to a pole; most are installed, by the project's contractor.
insert into sow_drops
    (project_id, contractor_id, drop_number, pole_number, address, latitude, longitude, cable_length, status, installed_at, created_at)
select
    project.id,
    case when n % 10 < 7 then project.contractor_id end,
    'DR' || 1733700 + n,
    upper(left(replace(project.project_name, ' ', ''), 3)) || '.P.' || to_char(1 + (n - 1) / 4, 'FM0000'),
    case when n % 13 <> 5 then 1 + n * 17 % 240 || ' ' || (array['Mandela', 'Protea', 'Acacia', 'Sisulu', 'Church', 'Station'])[1 + n % 6] || ' Street, ' || project.project_name end,
    -26.383 + (n % 40) * 0.000731,
    27.812 + (n / 40) * 0.000947,
    case when n % 10 < 7 then 18 + n * 37 % 640 / 10.0 end,
    case when n % 10 < 7 then 'installed' when n % 10 < 9 then 'planned' else 'declined' end,
    case when n % 10 < 7 then timestamp '2025-05-05 08:10' + n * interval '97 minutes' end,
    timestamp '2025-03-03 10:00' + n * interval '11 minutes'
from generate_series(1, 400) as n
join projects as project on project.id = 1 + (n - 1) / 16
order by n;
